//! A local file that gets its name when it is whole.
use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

use super::error::WriteError;
use super::{LockError, lock_file};

/// Whether a finished file may take the place of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Naming {
    /// It replaces what has its name.
    Replace,
    /// It fails with [`io::ErrorKind::AlreadyExists`] where something has its name.
    New,
}

/// Where the bytes of a [`FileWriter`](crate::FileWriter) go. Dropped before [`Sink::finish`], it leaves nothing behind.
pub trait Sink: Write + Send {
    /// Leaves out the first `bytes` bytes, which [`Sink::finish`] will give. Called before the first write.
    ///
    /// # Errors
    /// What the system answers.
    fn leave_out(&mut self, bytes: u64) -> io::Result<()>;

    /// Writes `head` where bytes were left out, makes all bytes durable and gives them their name.
    ///
    /// # Errors
    /// What the system answers; the name then stands for what it stood for before.
    fn finish(&mut self, head: &[u8], naming: Naming) -> io::Result<()>;
}

/// `NAME.partial`, locked against other writers until it becomes `NAME`.
#[derive(Debug)]
pub(super) struct PartialFile {
    file: File,
    path: PathBuf,
    partial: PathBuf,
    finished: bool,
}

impl PartialFile {
    /// Reached by `at` and called `path`.
    pub(super) fn create(at: &Path, path: &Path) -> Result<PartialFile, WriteError> {
        let mut partial = at.as_os_str().to_owned();
        partial.push(".partial");
        let partial = PathBuf::from(partial);
        let failed = |source| match WriteError::new(path, 0, source) {
            WriteError::Io { path, source, .. } => WriteError::Create { path, source },
            full => full,
        };
        let file = lock_file(&partial).map_err(|error| match error {
            LockError::Held { .. } => WriteError::Busy { path: path.to_owned() },
            LockError::Io { source, .. } => failed(source),
        })?;
        // What an interrupted writer left.
        file.set_len(0).map_err(failed)?;
        Ok(PartialFile { file, path: at.to_owned(), partial, finished: false })
    }

    fn rename(&self, naming: Naming) -> io::Result<()> {
        if naming == Naming::New {
            match renameat_with(CWD, &self.partial, CWD, &self.path, RenameFlags::NOREPLACE) {
                // A file system without this kind of rename: one writer at a time is all that can be promised there.
                Err(Errno::INVAL | Errno::NOSYS) if !self.path.try_exists()? => {}
                Err(Errno::INVAL | Errno::NOSYS) => return Err(io::ErrorKind::AlreadyExists.into()),
                other => return Ok(other?),
            }
        }
        std::fs::rename(&self.partial, &self.path)
    }
}

impl Write for PartialFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Sink for PartialFile {
    fn leave_out(&mut self, bytes: u64) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(bytes)).map(drop)
    }

    fn finish(&mut self, head: &[u8], naming: Naming) -> io::Result<()> {
        self.file.write_all_at(head, 0)?;
        self.file.sync_all()?;
        self.rename(naming)?;
        self.finished = true;
        Ok(())
    }
}

impl Drop for PartialFile {
    fn drop(&mut self) {
        if !self.finished {
            // Nothing to be done when even this fails; the next writer of the name truncates the remains.
            let _ = std::fs::remove_file(&self.partial);
        }
    }
}
