//! The unfinished file and the record beside it.
//!
//! The record is written before the bytes it vouches for count: first the part is synced, then a record with
//! the new `durable_bytes` replaces the old one. After a crash the part is cut back to what was durable.
#![deny(clippy::indexing_slicing)]
use std::ffi::OsString;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use fs_err::File;
use serde::{Deserialize, Serialize};
use spandrel_io::{FileWriter, LockError, lock_file, sync_name};

use super::error::GetError;
use super::header::FileHeader;
use crate::catalogue::{HEADER_BYTES, RemoteFile};

/// Bytes written between two records.
const DURABLE_STEP_BYTES: u64 = 64 << 20;
/// Largest record read.
const RECORD_BYTES_MAX: u64 = 64 << 10;

/// What tells two versions of a published file apart.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Version {
    pub(super) etag: Option<String>,
    pub(super) last_modified: Option<String>,
}

impl Version {
    /// What `If-Range` may carry: a strong tag, else a date. Weak tags do not promise equal bytes.
    pub(super) fn guard(&self) -> Option<&str> {
        let strong = self.etag.as_deref().filter(|tag| tag.starts_with('"'));
        strong.or(self.last_modified.as_deref())
    }

    /// Whether both name their version and the names differ.
    pub(super) fn contradicts(&self, other: &Version) -> bool {
        let differ = |a: &Option<String>, b: &Option<String>| matches!((a, b), (Some(a), Some(b)) if a != b);
        match (&self.etag, &other.etag) {
            (Some(_), Some(_)) => differ(&self.etag, &other.etag),
            _ => differ(&self.last_modified, &other.last_modified),
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    url: String,
    version: Version,
    source_bytes: u64,
    durable_bytes: u64,
}

/// The unfinished file, locked against other processes.
pub(super) struct Part {
    file: File,
    path: PathBuf,
    url: String,
    header: FileHeader,
    source_bytes: u64,
    version: Version,
    have: u64,
    durable_bytes: u64,
}

/// `NAME.part` beside `NAME`.
pub(super) fn part_path(path: &Path) -> PathBuf {
    with_suffix(path, ".part")
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    PathBuf::from(name)
}

impl Part {
    /// Opens the part of a file, or makes an empty one, cut back to what its record vouches for.
    pub(super) fn open(path: &Path, file: &RemoteFile, url: &str) -> Result<Part, GetError> {
        let part_path = part_path(path);
        let handle = lock_file(&part_path).map_err(|error| match error {
            LockError::Held { path, .. } => GetError::Locked { path },
            other => GetError::Io(io::Error::other(other)),
        })?;
        let handle = File::from_parts(handle, &part_path);
        if path.exists() {
            // Whoever had the lock before finished it.
            remove_if_there(&part_path)?;
            return Err(GetError::Locked { path: part_path });
        }
        let bytes = handle.metadata()?.len();
        let mut part = Part {
            file: handle,
            url: url.to_owned(),
            header: FileHeader::finished(file),
            source_bytes: file.source_bytes(),
            version: Version::default(),
            have: 0,
            durable_bytes: 0,
            path: part_path,
        };
        part.believe_record(bytes.min(file.bytes()))?;
        part.file.set_len(part.have)?;
        part.file.seek(SeekFrom::Start(part.have))?;
        Ok(part)
    }

    /// Takes over what the record vouches for: nothing if there is none or it speaks of another file.
    fn believe_record(&mut self, len: u64) -> Result<(), GetError> {
        let Some(record) = read_record(&self.record_path()) else { return Ok(()) };
        let durable = record.durable_bytes;
        if durable <= HEADER_BYTES || durable > len || record.source_bytes != self.source_bytes {
            return Ok(());
        }
        let mut header = [0; HEADER_BYTES as usize]; // CAST: 8
        self.file.seek(SeekFrom::Start(0))?;
        self.file.read_exact(&mut header)?;
        if FileHeader::from_bytes(header) != self.header {
            return Ok(());
        }
        if record.url != self.url {
            return Err(GetError::OtherSource {
                path: self.path.clone(),
                have: durable,
                expected: self.url.clone(),
                found: record.url,
            });
        }
        self.version = record.version;
        self.have = durable;
        self.durable_bytes = durable;
        Ok(())
    }

    /// Bytes in the part.
    pub(super) fn have(&self) -> u64 {
        self.have
    }

    /// The version of the published file that the bytes come from.
    pub(super) fn version(&self) -> &Version {
        &self.version
    }

    /// Empties the part.
    pub(super) fn restart(&mut self) -> Result<(), GetError> {
        remove_if_there(&self.record_path())?;
        self.file.set_len(0)?;
        self.file.seek(SeekFrom::Start(0))?;
        self.have = 0;
        self.durable_bytes = 0;
        self.version = Version::default();
        Ok(())
    }

    /// Begins an empty part with the header of the finished file.
    pub(super) fn begin(&mut self, version: Version) -> Result<(), GetError> {
        assert_eq!(self.have, 0, "only an empty part is begun");
        self.version = version;
        let header = self.header.to_bytes();
        self.append(&header)
    }

    /// Adds bytes at the end; now and then makes them durable.
    pub(super) fn append(&mut self, bytes: &[u8]) -> Result<(), GetError> {
        self.file.write_all(bytes)?;
        self.have += bytes.len() as u64; // CAST: usize to u64
        if self.have - self.durable_bytes >= DURABLE_STEP_BYTES {
            self.keep()?;
        }
        Ok(())
    }

    /// Makes what is there durable and says so in the record.
    pub(super) fn keep(&mut self) -> Result<(), GetError> {
        if self.have == self.durable_bytes {
            return Ok(());
        }
        self.file.sync_data()?;
        let record = Record {
            url: self.url.clone(),
            version: self.version.clone(),
            source_bytes: self.source_bytes,
            durable_bytes: self.have,
        };
        let text = serde_json::to_vec(&record).map_err(io::Error::from)?;
        let mut record = FileWriter::create(&self.record_path()).map_err(io::Error::from)?;
        record.append(&text).and_then(|()| record.finish()).map_err(io::Error::from)?;
        self.durable_bytes = self.have;
        Ok(())
    }

    /// Keeps what is worth keeping, and leaves nothing behind where nothing is.
    pub(super) fn leave(mut self) -> Result<(), GetError> {
        if self.have > HEADER_BYTES {
            return self.keep();
        }
        remove_if_there(&self.record_path())?;
        remove_if_there(&self.path)
    }

    /// Gives the complete part its name, durably.
    pub(super) fn finish(self, path: &Path, total: u64) -> Result<(), GetError> {
        assert_eq!(self.have, total, "only a complete part is finished");
        self.file.sync_all()?;
        let found = self.file.metadata()?.len();
        if found != total {
            return Err(GetError::Existing {
                path: self.path.clone(),
                expected: format!("{total} bytes"),
                found: format!("{found} bytes"),
            });
        }
        fs_err::rename(&self.path, path)?;
        remove_if_there(&self.record_path())?;
        Ok(sync_name(path)?)
    }

    fn record_path(&self) -> PathBuf {
        with_suffix(&self.path, ".json")
    }
}

/// The record, or none if it is missing or damaged: the part is then begun anew.
fn read_record(path: &Path) -> Option<Record> {
    let mut text = Vec::new();
    File::open(path).ok()?.take(RECORD_BYTES_MAX).read_to_end(&mut text).ok()?;
    serde_json::from_slice(&text).ok()
}

fn remove_if_there(path: &Path) -> Result<(), GetError> {
    match fs_err::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::Role;

    fn remote() -> RemoteFile {
        RemoteFile {
            role: Role::Base,
            set: "toy".to_owned(),
            url: "http://h/b".to_owned(),
            file_name: "toy.base.u8bin".to_owned(),
            rows: 10,
            source_rows: 100,
            width: 4,
            element_bytes: 1,
        }
    }

    fn version() -> Version {
        Version { etag: Some("\"a\"".to_owned()), last_modified: None }
    }

    #[test]
    fn only_durable_bytes_survive() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("toy.base.u8bin");
        let file = remote();
        let mut part = Part::open(&path, &file, "http://h/b").unwrap();
        part.begin(version()).unwrap();
        part.append(b"kept").unwrap();
        part.keep().unwrap();
        part.append(b"lost").unwrap();
        drop(part); // as a crash would: no `leave`
        let part = Part::open(&path, &file, "http://h/b").unwrap();
        assert_eq!((part.have(), part.version()), (12, &version()));
        assert_eq!(fs_err::metadata(part_path(&path)).unwrap().len(), 12);
    }

    #[test]
    fn a_part_without_a_sound_record_is_begun_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("toy.base.u8bin");
        let file = remote();
        let record_path = with_suffix(&part_path(&path), ".json");
        let begin = || {
            let mut part = Part::open(&path, &file, "http://h/b").unwrap();
            part.restart().unwrap();
            part.begin(version()).unwrap();
            part.append(b"some").unwrap();
            part.leave().unwrap();
        };
        let have = || Part::open(&path, &file, "http://h/b").unwrap().have();
        begin();
        assert_eq!(have(), 12);
        fs_err::remove_file(&record_path).unwrap();
        assert_eq!(have(), 0);
        begin();
        fs_err::write(&record_path, b"{\"url\": ").unwrap();
        assert_eq!(have(), 0);
        begin();
        let record = fs_err::read_to_string(&record_path).unwrap();
        fs_err::write(&record_path, record.replace(":12", ":1000000")).unwrap();
        assert_eq!(have(), 0);
        begin();
        let mut bytes = fs_err::read(part_path(&path)).unwrap();
        *bytes.first_mut().unwrap() ^= 9;
        fs_err::write(part_path(&path), bytes).unwrap();
        assert_eq!(have(), 0);
        begin();
        let other = RemoteFile { rows: 11, ..remote() };
        assert_eq!(Part::open(&path, &other, "http://h/b").unwrap().have(), 0);
    }

    #[test]
    fn a_part_from_elsewhere_and_a_part_in_use_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("toy.base.u8bin");
        let file = remote();
        let mut part = Part::open(&path, &file, "http://h/b").unwrap();
        part.begin(version()).unwrap();
        part.append(b"some").unwrap();
        assert!(matches!(Part::open(&path, &file, "http://h/b"), Err(GetError::Locked { .. })));
        part.leave().unwrap();
        match Part::open(&path, &file, "http://mirror/b") {
            Err(GetError::OtherSource { have: 12, found, .. }) => assert_eq!(found, "http://h/b"),
            other => panic!("{:?}", other.err()),
        }
    }

    #[test]
    fn an_empty_part_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("toy.base.u8bin");
        let mut part = Part::open(&path, &remote(), "http://h/b").unwrap();
        part.begin(version()).unwrap();
        part.leave().unwrap();
        assert_eq!(fs_err::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn versions_are_compared_by_tag_then_by_date() {
        let v = |etag: Option<&str>, date: Option<&str>| Version {
            etag: etag.map(str::to_owned),
            last_modified: date.map(str::to_owned),
        };
        assert_eq!(v(Some("\"a\""), Some("mon")).guard(), Some("\"a\""));
        assert_eq!(v(Some("W/\"a\""), Some("mon")).guard(), Some("mon"));
        assert_eq!(v(Some("W/\"a\""), None).guard(), None);
        assert!(v(Some("a"), None).contradicts(&v(Some("b"), None)));
        assert!(!v(Some("a"), Some("mon")).contradicts(&v(Some("a"), Some("tue"))));
        assert!(v(None, Some("mon")).contradicts(&v(Some("a"), Some("tue"))));
        assert!(!v(None, None).contradicts(&v(Some("a"), Some("tue"))));
    }
}
