//! An immutable file, opened for direct reads where the file system allows.
use std::fs::{File, OpenOptions};
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{Mode, OFlags, openat};
use spandrel_names::named;

use super::{OpenError, Read, ReadError};
use crate::AlignedBuf;
use crate::sys::{DirectAlignment, direct_alignment};

/// Whether reads pass the page cache by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Direct {
    /// Where the file system allows.
    #[default]
    Auto,
    /// Always; opening fails where the file system does not allow it.
    On,
    /// Never: through the page cache.
    Off,
}

named! { Direct, "choice", Auto => "auto", On => "on", Off => "off" }

/// A file open for reading, with its length and alignment taken once. It must not change while open.
#[derive(Debug)]
pub struct ReadFile {
    file: File,
    path: PathBuf,
    len: u64,
    direct: bool,
    align: u32,
}

impl ReadFile {
    /// Opens a regular file.
    ///
    /// # Errors
    /// [`OpenError`]; with [`Direct::On`] also where the file system has no direct reads.
    pub fn open(path: &Path, direct: Direct) -> Result<Arc<ReadFile>, OpenError> {
        ReadFile::open_named(path, path, direct)
    }

    /// As [`ReadFile::open`], through the cache and in an open folder. A link is no file.
    pub(crate) fn open_in(
        folder: BorrowedFd<'_>,
        name: &str,
        path: &Path,
    ) -> Result<Arc<ReadFile>, OpenError> {
        let failed = |source| OpenError::Open { path: path.to_owned(), source };
        // Only found, not opened: a pipe would wait for somebody to write to it.
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let found = openat(folder, name, flags, Mode::empty()).map_err(|error| failed(error.into()))?;
        let found = File::from(found);
        if !found.metadata().map_err(failed)?.is_file() {
            return Err(OpenError::NotAFile { path: path.to_owned() });
        }
        ReadFile::open_named(&by_descriptor(&found), path, Direct::Off)
    }

    /// As [`ReadFile::open`], by one path under the name of another.
    pub(crate) fn open_named(open: &Path, path: &Path, direct: Direct) -> Result<Arc<ReadFile>, OpenError> {
        let failed = |source| OpenError::Open { path: path.to_owned(), source };
        let buffered = OpenOptions::new().read(true).open(open).map_err(failed)?;
        let meta = buffered.metadata().map_err(failed)?;
        if !meta.is_file() {
            return Err(OpenError::NotAFile { path: path.to_owned() });
        }
        let found = if direct == Direct::Off { None } else { open_direct(open) };
        if direct == Direct::On && found.is_none() {
            return Err(OpenError::NoDirect { path: path.to_owned() });
        }
        let (file, direct, align) = match found {
            Some((file, align)) => (file, true, align),
            None => (buffered, false, 1),
        };
        // Taken from the descriptor that is kept, in case the path was switched in between.
        let len = file.metadata().map_err(failed)?.len();
        Ok(Arc::new(ReadFile { file, path: path.to_owned(), len, direct, align }))
    }

    /// Bytes in the file when it was opened.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether the file holds nothing.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether reads bypass the page cache.
    pub fn is_direct(&self) -> bool {
        self.direct
    }

    /// Bytes that offsets and lengths of the requests to the system are multiples of; 1 through the cache.
    pub fn alignment(&self) -> u32 {
        self.align
    }

    /// The path it was opened by.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Fills `out` from `offset` on, blocking.
    ///
    /// # Errors
    /// As a completion's.
    pub fn read_into(&self, offset: u64, out: &mut [u8]) -> Result<(), ReadError> {
        const PIECE: usize = 1 << 20;
        // Checked as a whole before any of it is read.
        let all = u64::try_from(out.len()).ok().and_then(|bytes| offset.checked_add(bytes));
        if all.is_none_or(|end| end > self.len) {
            let bytes = u32::try_from(out.len()).unwrap_or(u32::MAX);
            return Err(self.short(&Read { file: 0, offset, bytes, tag: 0 }, self.len));
        }
        let mut at = offset;
        for piece in out.chunks_mut(PIECE) {
            // CAST: a piece is at most 1 MiB.
            let read = Read { file: 0, offset: at, bytes: piece.len() as u32, tag: 0 };
            if self.direct {
                piece.copy_from_slice(&self.read_at(at, read.bytes)?);
            } else {
                self.file.read_exact_at(piece, at).map_err(|source| self.ended(&read, source))?;
            }
            at += u64::from(read.bytes);
        }
        Ok(())
    }

    /// The error of a read that the system refused, or that met the end of a file that was longer when it was opened.
    fn ended(&self, read: &Read, source: std::io::Error) -> ReadError {
        match self.file.metadata() {
            Ok(now) if source.kind() == std::io::ErrorKind::UnexpectedEof => self.short(read, now.len()),
            _ => self.failed(read, source),
        }
    }

    /// Refuses a read that cannot succeed, before anything is allocated for it.
    pub(crate) fn check(&self, read: &Read) -> Result<(), ReadError> {
        let end = read.offset.checked_add(u64::from(read.bytes));
        if end.is_none_or(|end| end > self.len) {
            return Err(self.short(read, self.len));
        }
        if read.bytes > crate::READ_BYTES_MAX {
            let Read { offset, bytes, .. } = *read;
            return Err(ReadError::TooLong { path: self.path.clone(), offset, bytes });
        }
        Ok(())
    }

    pub(crate) fn short(&self, read: &Read, file_bytes: u64) -> ReadError {
        let Read { offset, bytes, .. } = *read;
        ReadError::ShortFile { path: self.path.clone(), offset, bytes, file_bytes }
    }

    pub(crate) fn failed(&self, read: &Read, source: std::io::Error) -> ReadError {
        let Read { offset, bytes, .. } = *read;
        ReadError::Io { path: self.path.clone(), offset, bytes, source }
    }

    /// A file that the system refuses to read from, `EBADF`.
    #[cfg(test)]
    pub(super) fn unreadable(path: &Path, len: u64) -> Arc<ReadFile> {
        let file = OpenOptions::new().write(true).open(path).unwrap();
        Arc::new(ReadFile { file, path: path.to_owned(), len, direct: false, align: 1 })
    }

    pub(crate) fn as_file(&self) -> &File {
        &self.file
    }

    pub(crate) fn raw_fd(&self) -> RawFd {
        self.file.as_raw_fd()
    }
}

/// A path of what is open that holds when its name changes, where `/proc` is mounted.
pub(crate) fn by_descriptor(open: &impl AsRawFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", open.as_raw_fd()))
}

/// Opens for direct reads and finds the alignment they need, or `None` where they are not possible.
fn open_direct(path: &Path) -> Option<(File, u32)> {
    let file = OpenOptions::new().read(true).custom_flags(libc::O_DIRECT).open(path).ok()?;
    match direct_alignment(&file) {
        DirectAlignment::Never => None,
        DirectAlignment::Multiple(bytes) if bytes.is_power_of_two() && bytes <= 4096 => {
            Some((file, bytes.max(512)))
        }
        DirectAlignment::Multiple(_) | DirectAlignment::Unknown => try_alignments(file),
    }
}

/// Without an answer from the file system: the smallest alignment that a read gets through with.
fn try_alignments(file: File) -> Option<(File, u32)> {
    let mut buf = AlignedBuf::zeroed(4096).ok()?;
    for align in [512, 4096] {
        let piece = buf.get_mut(..align)?;
        if file.read_at(piece, 0).is_ok() {
            // CAST: 512 or 4096.
            return Some((file, align as u32));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file_of(bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("data");
        std::fs::write(&path, bytes).unwrap();
        (dir, path)
    }

    #[test]
    fn every_mode_reads_the_same_bytes() {
        let bytes: Vec<u8> = (0..10_000u32).map(|i| (i * 7 % 251) as u8).collect();
        let (_dir, path) = file_of(&bytes);
        for direct in [Direct::Auto, Direct::Off] {
            let file = ReadFile::open(&path, direct).unwrap();
            assert_eq!(file.len(), 10_000);
            for (offset, len) in [(0, 10_000), (512, 512), (1, 3), (9_728, 272), (9_999, 1), (10_000, 0)] {
                let read = file.read_at(offset, len).unwrap();
                assert_eq!(&read[..], &bytes[offset as usize..offset as usize + len as usize]);
            }
            let mut out = vec![0; 9_000];
            file.read_into(700, &mut out).unwrap();
            assert_eq!(out, bytes[700..9_700]);
        }
    }

    #[test]
    fn the_end_of_the_file_and_absurd_lengths_are_errors() {
        let (_dir, path) = file_of(&[1; 1000]);
        let file = ReadFile::open(&path, Direct::Auto).unwrap();
        for (offset, bytes) in [(0, 1001), (512, 512), (u64::MAX, 2), (1 << 40, u32::MAX)] {
            assert!(matches!(
                file.read_at(offset, bytes),
                Err(ReadError::ShortFile { file_bytes: 1000, .. })
            ));
        }
        for (offset, bytes) in [(0, 1001), (512, 512), (u64::MAX, 2)] {
            let error = file.read_into(offset, &mut vec![0; bytes]).unwrap_err();
            assert!(matches!(error, ReadError::ShortFile { file_bytes: 1000, .. }), "{error:?}");
        }
        // A hole costs no disk.
        File::options().write(true).open(&path).unwrap().set_len(1 << 33).unwrap();
        let file = ReadFile::open(&path, Direct::Auto).unwrap();
        assert!(matches!(file.read_at(0, crate::READ_BYTES_MAX + 1), Err(ReadError::TooLong { .. })));
    }

    #[test]
    fn a_file_cut_short_after_opening_is_an_error_not_a_loop() {
        let (_dir, path) = file_of(&[1; 10_000]);
        for direct in [Direct::Auto, Direct::Off] {
            File::options().write(true).open(&path).unwrap().set_len(10_000).unwrap();
            let file = ReadFile::open(&path, direct).unwrap();
            File::options().write(true).open(&path).unwrap().set_len(5_000).unwrap();
            let error = file.read_at(512, 8_192).unwrap_err();
            assert!(matches!(error, ReadError::ShortFile { file_bytes: 5_000, .. }), "{error:?}");
            let error = file.read_into(512, &mut [0; 8_192]).unwrap_err();
            assert!(matches!(error, ReadError::ShortFile { file_bytes: 5_000, .. }), "{error:?}");
        }
    }

    #[test]
    fn what_is_no_file_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(ReadFile::open(dir.path(), Direct::Auto), Err(OpenError::NotAFile { .. })));
        let missing = dir.path().join("missing");
        assert!(matches!(ReadFile::open(&missing, Direct::Auto), Err(OpenError::Open { .. })));
        // A pseudo file system without direct reads.
        let proc = Path::new("/proc/self/status");
        assert!(!ReadFile::open(proc, Direct::Auto).unwrap().is_direct());
        assert!(matches!(ReadFile::open(proc, Direct::On), Err(OpenError::NoDirect { .. })));
    }

    #[test]
    fn choices_have_names() {
        for direct in [Direct::Auto, Direct::On, Direct::Off] {
            assert_eq!(direct.to_string().parse(), Ok(direct));
        }
        assert!("yes".parse::<Direct>().is_err());
    }
}
