//! Why a file could not be written.
use std::io;
use std::path::{Path, PathBuf};

/// Why a file could not be written. Nothing is left under its name in any case.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The file cannot be created: no such folder, or it is not writable.
    #[error("{path}: cannot be created")]
    Create {
        /// File that was to be made.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another process is writing a file of this name. Wait for that one, or choose another name.
    #[error("{path}: another process is writing it")]
    Busy {
        /// File that was to be made.
        path: PathBuf,
    },
    /// There is a file of this name, and it is not to be replaced.
    #[error("{path}: exists already and is not replaced")]
    Taken {
        /// File that stands there.
        path: PathBuf,
    },
    /// The disk, or the user's share of it, is full. Free some space or write elsewhere.
    #[error("{path}: the disk is full after {bytes} bytes, free some space or write elsewhere")]
    DiskFull {
        /// File being written.
        path: PathBuf,
        /// Bytes written before.
        bytes: u64,
    },
    /// The file system or a limit (`ulimit -f`) does not allow files of this size.
    #[error("{path}: files may not be this large here ({bytes} bytes were written), raise `ulimit -f`")]
    FileTooLarge {
        /// File being written.
        path: PathBuf,
        /// Bytes written before.
        bytes: u64,
    },
    /// Writing, syncing or renaming failed.
    #[error("{path}: writing failed after {bytes} bytes")]
    Io {
        /// File being written.
        path: PathBuf,
        /// Bytes written before.
        bytes: u64,
        /// What the system said.
        source: io::Error,
    },
}

impl WriteError {
    pub(super) fn new(path: &Path, bytes: u64, source: io::Error) -> WriteError {
        let path = path.to_owned();
        match source.raw_os_error() {
            Some(libc::ENOSPC | libc::EDQUOT) => WriteError::DiskFull { path, bytes },
            Some(libc::EFBIG) => WriteError::FileTooLarge { path, bytes },
            _ if source.kind() == io::ErrorKind::AlreadyExists => WriteError::Taken { path },
            _ => WriteError::Io { path, bytes, source },
        }
    }
}

impl From<WriteError> for io::Error {
    fn from(error: WriteError) -> io::Error {
        let kind = match &error {
            WriteError::DiskFull { .. } => io::ErrorKind::StorageFull,
            WriteError::FileTooLarge { .. } => io::ErrorKind::FileTooLarge,
            WriteError::Busy { .. } => io::ErrorKind::ResourceBusy,
            WriteError::Taken { .. } => io::ErrorKind::AlreadyExists,
            WriteError::Create { source, .. } | WriteError::Io { source, .. } => source.kind(),
        };
        io::Error::new(kind, error)
    }
}
