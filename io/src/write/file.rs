//! Files written once from front to end, with their hash.
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::Xxh3;

use super::error::WriteError;
use super::partial::PartialFile;
use super::{Naming, Sink, Written};

const BUFFER_BYTES: usize = 1 << 20;

/// Writes a new file, buffered, and hashes what the file accepted.
///
/// A local file's bytes go to `NAME.partial`; [`FileWriter::finish`] syncs them and renames the file to its name, so
/// that what stood there before is only ever replaced by something whole. The new name itself survives a
/// crash once the folder is synced ([`Store::sync`](crate::Store::sync), [`sync_folder`](crate::sync_folder)).
/// Dropped unfinished, the file removes itself.
#[derive(Debug)]
pub struct FileWriter {
    output: Output<Box<dyn Sink>>,
    path: PathBuf,
    head_bytes: u64,
}

impl FileWriter {
    /// Starts a local file that will be called `path`.
    ///
    /// # Errors
    /// [`WriteError::Create`], [`WriteError::Busy`], or [`WriteError::DiskFull`] when not even an empty file fits.
    pub fn create(path: &Path) -> Result<FileWriter, WriteError> {
        FileWriter::create_at(path, path)
    }

    /// As [`FileWriter::create`], reached by one path and called by another.
    pub(crate) fn create_at(at: &Path, path: &Path) -> Result<FileWriter, WriteError> {
        Ok(FileWriter::over(Box::new(PartialFile::create(at, path)?), path))
    }

    /// Writes into `sink`; errors name `path`.
    pub fn over(sink: Box<dyn Sink>, path: &Path) -> FileWriter {
        FileWriter { output: Output::new(sink), path: path.to_owned(), head_bytes: 0 }
    }

    /// Leaves out the first `head_bytes`, which [`FileWriter::finish_with_head`] writes last. Called before anything
    /// is appended.
    ///
    /// They do not count in [`FileWriter::bytes`] and not in the hash.
    ///
    /// # Errors
    /// [`WriteError`].
    pub fn with_head(mut self, head_bytes: u64) -> Result<FileWriter, WriteError> {
        let left_out = self.output.inner.leave_out(head_bytes);
        left_out.map_err(|source| self.failed(source))?;
        self.head_bytes = head_bytes;
        Ok(self)
    }

    /// Appends `bytes`.
    ///
    /// # Errors
    /// [`WriteError`]; the writer is of no more use then.
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), WriteError> {
        self.output.append(bytes).map_err(|source| self.failed(source))
    }

    /// Appends zeros up to a multiple of `multiple` bytes.
    ///
    /// # Errors
    /// [`WriteError`].
    ///
    /// # Panics
    /// When `multiple` is 0.
    pub fn pad_to(&mut self, multiple: u64) -> Result<(), WriteError> {
        const ZEROS: [u8; 4096] = [0; 4096];
        let mut missing = self.bytes().next_multiple_of(multiple) - self.bytes();
        while missing > 0 {
            let (piece, _) = ZEROS.split_at(missing.min(4096) as usize);
            self.append(piece)?;
            missing -= piece.len() as u64;
        }
        Ok(())
    }

    /// Bytes appended so far, which is where the next one goes.
    pub fn bytes(&self) -> u64 {
        self.output.accepted + self.output.buffer.len() as u64
    }

    /// The name the file will have.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes what is buffered, syncs the file and gives it its name.
    ///
    /// # Errors
    /// [`WriteError`]; the file is removed then.
    pub fn finish(self) -> Result<Written, WriteError> {
        self.finish_as(&[], Naming::Replace)
    }

    /// As [`FileWriter::finish`], unless there is a file of the name.
    ///
    /// # Errors
    /// [`WriteError::Taken`]; any other [`WriteError`].
    pub fn finish_new(self) -> Result<Written, WriteError> {
        self.finish_as(&[], Naming::New)
    }

    /// As [`FileWriter::finish`], with the bytes that were left out at the start. The hash is that of what
    /// follows them; [`crate::hash_blob`] gives the same.
    ///
    /// # Errors
    /// [`WriteError`]; the file is removed then.
    ///
    /// # Panics
    /// When `head` has another length than was left out.
    pub fn finish_with_head(self, head: &[u8]) -> Result<Written, WriteError> {
        self.finish_as(head, Naming::Replace)
    }

    fn finish_as(mut self, head: &[u8], naming: Naming) -> Result<Written, WriteError> {
        assert_eq!(head.len() as u64, self.head_bytes);
        self.output
            .flush()
            .and_then(|()| self.output.inner.finish(head, naming))
            .map_err(|source| self.failed(source))?;
        let bytes = self.head_bytes + self.output.accepted;
        Ok(Written { bytes, hash: self.output.hash.digest128() })
    }

    fn failed(&self, source: io::Error) -> WriteError {
        WriteError::new(&self.path, self.output.accepted, source)
    }
}

impl Write for FileWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.append(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.output.flush().map_err(|source| self.failed(source).into())
    }
}

/// The buffer and the hash before any writer.
struct Output<W> {
    inner: W,
    buffer: Vec<u8>,
    hash: Box<Xxh3>,
    accepted: u64,
    /// An error loses bytes in the middle: nothing may follow it.
    failed: bool,
}

impl<W> std::fmt::Debug for Output<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Output({} bytes accepted, {} buffered)", self.accepted, self.buffer.len())
    }
}

impl<W: Write> Output<W> {
    fn new(inner: W) -> Output<W> {
        let buffer = Vec::with_capacity(BUFFER_BYTES);
        Output { inner, buffer, hash: Box::new(Xxh3::new()), accepted: 0, failed: false }
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.buffer.len() + bytes.len() > BUFFER_BYTES {
            self.flush()?;
        }
        if bytes.len() >= BUFFER_BYTES {
            return self.write_through(bytes);
        }
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        let mut buffer = std::mem::take(&mut self.buffer);
        let result = self.write_through(&buffer);
        buffer.clear();
        self.buffer = buffer;
        result
    }

    fn write_through(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.failed {
            return Err(io::Error::other("an earlier write failed"));
        }
        let mut rest = bytes;
        while !rest.is_empty() {
            match self.inner.write(rest) {
                Ok(count) if count > 0 && count <= rest.len() => {
                    let (taken, left) = rest.split_at(count);
                    self.hash.update(taken);
                    self.accepted += count as u64;
                    rest = left;
                }
                Ok(_) => {
                    self.failed = true;
                    return Err(io::ErrorKind::WriteZero.into());
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.failed = true;
                    return Err(error);
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use xxhash_rust::xxh3::xxh3_128;

    use std::fs::File;

    use super::*;
    use crate::{Direct, ReadFile, hash_blob};

    fn hash_from(path: &Path, head_bytes: u64) -> Written {
        hash_blob(&*ReadFile::open(path, Direct::Off).unwrap(), head_bytes).unwrap()
    }

    /// Takes a few bytes at a time, is interrupted often and fails after `limit` bytes.
    struct Reluctant {
        taken: Vec<u8>,
        calls: usize,
        limit: usize,
    }

    impl Write for Reluctant {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.calls += 1;
            if self.calls.is_multiple_of(3) {
                return Err(io::ErrorKind::Interrupted.into());
            }
            if self.taken.len() >= self.limit {
                return Err(io::Error::from_raw_os_error(libc::ENOSPC));
            }
            let count = bytes.len().min(1 + self.calls % 5000).min(self.limit - self.taken.len());
            self.taken.extend_from_slice(&bytes[..count]);
            Ok(count)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_head_written_last_is_left_out_of_the_hash() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("section");
        let mut writer = FileWriter::create(&path).unwrap().with_head(4).unwrap();
        writer.append(b"body").unwrap();
        assert_eq!(writer.bytes(), 4);
        let written = writer.finish_with_head(b"head").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"headbody");
        assert_eq!(written, hash_from(&path, 4));
        assert_eq!(written.bytes, 8);
        assert_ne!(written.hash, hash_from(&path, 0).hash);
    }

    #[test]
    fn the_hash_is_of_what_was_accepted() {
        let bytes: Vec<u8> = (0..3_000_000u32).map(|i| (i % 249) as u8).collect();
        for limit in [usize::MAX, 1_500_000] {
            let mut output = Output::new(Reluctant { taken: Vec::new(), calls: 0, limit });
            let mut result = Ok(());
            for piece in bytes.chunks(700_001) {
                result = result.and_then(|()| output.append(piece));
            }
            result = result.and_then(|()| output.flush());
            assert_eq!(result.is_ok(), limit == usize::MAX);
            assert_eq!(output.hash.digest128(), xxh3_128(&output.inner.taken));
            assert_eq!(output.accepted, output.inner.taken.len() as u64);
            assert!(limit == usize::MAX || output.append(&bytes).is_err(), "a failed writer goes on");
        }
    }

    #[test]
    fn a_finished_file_is_whole_padded_and_hashed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lists-1");
        let mut writer = FileWriter::create(&path).unwrap();
        writer.append(b"some bytes").unwrap();
        writer.pad_to(512).unwrap();
        assert_eq!(writer.bytes(), 512);
        writer.pad_to(512).unwrap();
        writer.write_all(&vec![3; 3 << 20]).unwrap();
        writer.pad_to(10_000).unwrap();
        assert!(!path.exists());
        let written = writer.finish().unwrap();
        let bytes = std::fs::read(&path).unwrap();
        assert_eq!(bytes.len() as u64, written.bytes);
        assert_eq!(written.bytes, 3_150_000);
        assert_eq!(xxh3_128(&bytes), written.hash);
        assert_eq!(hash_from(&path, 0), written);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn an_unfinished_file_removes_itself_and_keeps_what_was_there() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("heads-1");
        std::fs::write(&path, b"good").unwrap();
        let mut writer = FileWriter::create(&path).unwrap();
        writer.append(&[1; 100]).unwrap();
        drop(writer);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
        assert_eq!(std::fs::read(&path).unwrap(), b"good");
    }

    /// Two processes that wrote one file at a time truncated each other's bytes.
    #[test]
    fn a_name_has_one_writer_and_may_be_kept_from_replacing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("manifest-1");
        let mut first = FileWriter::create(&path).unwrap();
        first.append(b"first").unwrap();
        assert!(matches!(FileWriter::create(&path), Err(WriteError::Busy { .. })));
        first.finish_new().unwrap();
        let mut second = FileWriter::create(&path).unwrap();
        second.append(b"second").unwrap();
        assert!(matches!(second.finish_new(), Err(WriteError::Taken { .. })));
        assert_eq!(std::fs::read(&path).unwrap(), b"first");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
        // What a killed writer left is no part of the next file.
        std::fs::write(dir.path().join("manifest-2.partial"), b"longer than what follows").unwrap();
        let mut third = FileWriter::create(&dir.path().join("manifest-2")).unwrap();
        third.append(b"third").unwrap();
        third.finish().unwrap();
        assert_eq!(std::fs::read(dir.path().join("manifest-2")).unwrap(), b"third");
    }

    #[test]
    fn a_full_disk_is_named() {
        let full = Path::new("/dev/full");
        let mut output = Output::new(File::options().write(true).open(full).unwrap());
        output.append(&[0; 100]).unwrap();
        let error = WriteError::new(full, 0, output.flush().unwrap_err());
        assert!(matches!(error, WriteError::DiskFull { .. }));
        assert!(error.to_string().contains("/dev/full"));
        assert_eq!(io::Error::from(error).kind(), io::ErrorKind::StorageFull);
        let large = WriteError::new(full, 0, io::Error::from_raw_os_error(libc::EFBIG));
        assert!(matches!(large, WriteError::FileTooLarge { .. }));
        let missing = FileWriter::create(Path::new("/no/such/folder/file")).unwrap_err();
        assert!(matches!(missing, WriteError::Create { .. }));
    }
}
