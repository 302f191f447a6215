//! The directory at the end of a zip archive, and where its entries lie.
//!
//! ```text
//! entry in the directory, 46 bytes and more          at the entry itself, 30 bytes and more
//!  0 4 'PK' 1 2   8 2 flags     10 2 method           0 4 'PK' 3 4   6 2 flags   8 2 method
//! 16 4 crc-32    20 4 stored    24 4 bytes           26 2 name      28 2 extra  30 .. name, extra, bytes
//! 28 2 name      30 2 extra     32 2 comment         end of the directory, 22 bytes and a comment
//! 42 4 where     46 .. name, extra, comment           0 4 'PK' 5 6  10 2 entries  12 4 bytes  16 4 where
//! ```
use std::os::unix::fs::FileExt;
use std::path::Path;

use fs_err::File;

use crate::file::FileError;

/// Largest file: beyond it archives have numbers of eight bytes.
const BYTES_MAX: u64 = u32::MAX as u64 - 1;
/// Most entries.
const ENTRIES_MAX: u64 = 64;
/// Most bytes of the directory: names, extras and comments of a few entries.
const DIRECTORY_BYTES_MAX: u64 = 1 << 20;
const END_BYTES: u64 = 22;
const COMMENT_BYTES_MAX: u64 = u16::MAX as u64;
const ENTRY_BYTES: usize = 46;
const LOCAL_BYTES: usize = 30;
/// Flag of entries that are encrypted.
const ENCRYPTED: u16 = 1;

/// One file of an archive, stored as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) name: String,
    /// Where it is listed.
    listed_at: u64,
    /// Where its bytes begin; they lie in the file.
    pub(super) data_at: u64,
    pub(super) bytes: u64,
    pub(super) crc: u32,
}

impl Entry {
    pub(super) fn refuse(
        &self,
        path: &Path,
        field: &'static str,
        expected: String,
        found: String,
    ) -> FileError {
        refuse(path, field, self.listed_at, expected, found)
    }
}

fn refuse(path: &Path, field: &'static str, offset: u64, expected: String, found: String) -> FileError {
    FileError::Header { path: path.to_owned(), field, offset, expected, found }
}

/// Little-endian numbers at places of a buffer; 0 beyond its end, which callers exclude.
fn u16_at(bytes: &[u8], at: usize) -> u16 {
    bytes.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |&b| u16::from_le_bytes(b))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |&b| u32::from_le_bytes(b))
}

/// The archive that is read.
struct Archive<'a> {
    path: &'a Path,
    file: &'a File,
    bytes: u64,
}

/// Where the directory lies.
struct Directory {
    at: u64,
    bytes: u64,
    entries: u64,
}

/// The entries of an archive.
///
/// # Errors
/// [`FileError`] where it is no archive, where a length is not that of the file, and for entries that are not stored as they are.
pub(super) fn read(path: &Path, file: &File) -> Result<Vec<Entry>, FileError> {
    let archive = Archive { path, file, bytes: file.metadata()?.len() };
    let directory = archive.directory()?;
    let listed = archive.take(directory.at, directory.bytes)?;
    let (mut rest, mut at, mut entries) = (listed.as_slice(), directory.at, Vec::new());
    for _ in 0..directory.entries {
        let (entry, taken) = archive.entry(rest, at, directory.at)?;
        rest = rest.get(taken..).unwrap_or_default();
        at += taken as u64; // CAST: widening
        entries.push(entry);
    }
    if !rest.is_empty() {
        let found = format!("{} bytes more", rest.len());
        return Err(refuse(path, "zip directory", at, "its entries alone".to_owned(), found));
    }
    Ok(entries)
}

impl Archive<'_> {
    fn take(&self, at: u64, bytes: u64) -> Result<Vec<u8>, FileError> {
        let mut taken = vec![0; bytes as usize]; // CAST: callers have checked it
        self.file.file().read_exact_at(&mut taken, at).map_err(|source| FileError::Read {
            path: self.path.to_owned(),
            offset: at,
            bytes: taken.len(),
            source,
        })?;
        Ok(taken)
    }

    fn directory(&self) -> Result<Directory, FileError> {
        if self.bytes > BYTES_MAX {
            let expected = format!("at most {BYTES_MAX} bytes");
            return Err(refuse(self.path, "file length", 0, expected, format!("{} bytes", self.bytes)));
        }
        let tail_bytes = (END_BYTES + COMMENT_BYTES_MAX).min(self.bytes);
        let tail = self.take(self.bytes - tail_bytes, tail_bytes)?;
        // The comment reaches to the end of the file, so that no bytes of a comment are taken for the end.
        let ends_here = |&at: &usize| {
            let end = tail.get(at..).unwrap_or_default();
            end.starts_with(b"PK\x05\x06") && end.len() == END_BYTES as usize + usize::from(u16_at(end, 20)) // CAST: 22
        };
        let last = tail.len().saturating_sub(END_BYTES as usize - 1); // CAST: 22
        let Some(found) = (0..last).rev().find(ends_here) else {
            let expected = "the end of a zip archive, as numpy.savez writes it".to_owned();
            let found = "none: the file is truncated or of another kind".to_owned();
            return Err(refuse(self.path, "zip end", self.bytes, expected, found));
        };
        let (end, at) = (tail.get(found..).unwrap_or_default(), self.bytes - tail_bytes + found as u64); // CAST: widening
        let directory = Directory {
            at: u32_at(end, 16).into(),
            bytes: u32_at(end, 12).into(),
            entries: u16_at(end, 10).into(),
        };
        let (disks, here) = ((u16_at(end, 4), u16_at(end, 6)), u64::from(u16_at(end, 8)));
        if disks != (0, 0) || here != directory.entries {
            let expected = "an archive in one part".to_owned();
            return Err(refuse(
                self.path,
                "zip parts",
                at,
                expected,
                format!("{here} of {} entries", directory.entries),
            ));
        }
        if directory.entries > ENTRIES_MAX || directory.bytes > DIRECTORY_BYTES_MAX {
            let expected = format!("at most {ENTRIES_MAX} entries in {DIRECTORY_BYTES_MAX} bytes");
            let found = format!("{} in {}", directory.entries, directory.bytes);
            return Err(refuse(self.path, "zip directory", at, expected, found));
        }
        if directory.at + directory.bytes != at {
            let expected = format!("a directory that ends at {at}");
            let found = format!("{} bytes at {}", directory.bytes, directory.at);
            return Err(refuse(self.path, "zip directory", at, expected, found));
        }
        Ok(directory)
    }

    /// The first entry listed in `rest`, which lies at `at`, and the bytes of its listing. Entries end before `end`.
    fn entry(&self, rest: &[u8], at: u64, end: u64) -> Result<(Entry, usize), FileError> {
        let no = |field, expected: &str, found: String| {
            Err(refuse(self.path, field, at, expected.to_owned(), found))
        };
        let [name_bytes, extra, comment] = [28, 30, 32].map(|of| usize::from(u16_at(rest, of)));
        let taken = ENTRY_BYTES + name_bytes + extra + comment;
        if !rest.starts_with(b"PK\x01\x02") || rest.len() < taken {
            let found = format!("{} bytes", rest.len());
            return no("zip entry", "an entry of the directory, which counts more than it has", found);
        }
        let name_at = ENTRY_BYTES..ENTRY_BYTES + name_bytes;
        let raw_name = rest.get(name_at).unwrap_or_default();
        let Ok(name) = std::str::from_utf8(raw_name) else {
            return no("zip name", "UTF-8", format!("{raw_name:02x?}"));
        };
        let method = u16_at(rest, 10);
        if method != 0 {
            let found = format!("method {method} for {name}");
            return no("zip compression", "none: numpy.savez, not savez_compressed", found);
        }
        if u16_at(rest, 8) & ENCRYPTED != 0 {
            return no("zip encryption", "none", format!("{name} is encrypted"));
        }
        let (stored, bytes) = (u64::from(u32_at(rest, 20)), u64::from(u32_at(rest, 24)));
        if stored != bytes {
            return no(
                "zip lengths",
                "one length where nothing is compressed",
                format!("{stored} and {bytes} for {name}"),
            );
        }
        let local_at = u64::from(u32_at(rest, 42));
        let beyond = || format!("{bytes} bytes at {local_at} for {name}");
        if local_at + LOCAL_BYTES as u64 > end {
            return no("zip entry", "an entry before the directory", beyond());
        }
        let local = self.take(local_at, LOCAL_BYTES as u64)?; // CAST: 30
        let own_at = local_at + LOCAL_BYTES as u64; // CAST: 30
        let [own_bytes, own_extra] = [26, 28].map(|of| u64::from(u16_at(&local, of)));
        let is_listed = local.starts_with(b"PK\x03\x04") && u16_at(&local, 8) == method;
        if !is_listed || own_at + own_bytes > end || self.take(own_at, own_bytes)? != raw_name {
            return no("zip entry", "the entry that is listed", format!("another at {local_at} for {name}"));
        }
        let data_at = own_at + own_bytes + own_extra;
        if data_at + bytes > end {
            return no("zip lengths", "an entry that ends before the directory", beyond());
        }
        let entry = Entry { name: name.to_owned(), listed_at: at, data_at, bytes, crc: u32_at(rest, 16) };
        Ok((entry, taken))
    }
}
