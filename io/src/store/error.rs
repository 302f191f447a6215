//! What can go wrong with blobs by name.
use std::io;
use std::path::PathBuf;

use crate::{OpenError, ReadError, WriteError};

/// Why an operation on a store failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// No file of that name.
    #[error("{path}: no such file")]
    Missing {
        /// Name of the file that is missing.
        path: PathBuf,
    },
    /// Larger than the caller is willing to hold.
    #[error("{path}: {bytes} bytes, at most {bytes_max} expected")]
    TooLong {
        /// File that is too large.
        path: PathBuf,
        /// Length of the blob, in bytes.
        bytes: u64,
        /// Most bytes that the caller takes.
        bytes_max: u64,
    },
    /// A file could not be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// A file is there and cannot be opened.
    #[error(transparent)]
    Open(OpenError),
    /// A file could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Any other failure.
    #[error("{path}: cannot {action}")]
    Io {
        /// What was tried, such as "be removed".
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl From<OpenError> for StoreError {
    fn from(error: OpenError) -> StoreError {
        use io::ErrorKind::{NotADirectory, NotFound};
        match error {
            OpenError::Open { path, source } if matches!(source.kind(), NotFound | NotADirectory) => {
                StoreError::Missing { path }
            }
            other => StoreError::Open(other),
        }
    }
}
