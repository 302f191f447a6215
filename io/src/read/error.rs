//! What can go wrong between a path and its bytes.
use std::io;
use std::path::PathBuf;

use super::Unavailable;
use crate::BufferError;

/// Why a file could not be opened for reading.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The file is missing, forbidden or cannot be asked about.
    #[error("{path}: cannot be opened for reading")]
    Open {
        /// File that was to be opened.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Not a regular file.
    #[error("{path}: is not a regular file")]
    NotAFile {
        /// Path of something else, such as a folder.
        path: PathBuf,
    },
    /// Direct I/O was demanded where the file system has none. Use `auto` or `off`, or another disk.
    #[error("{path}: this file system has no direct reads, use --direct auto or off, or another disk")]
    NoDirect {
        /// File on the file system without direct reads.
        path: PathBuf,
    },
}

/// Why a read, or a whole reader, failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The read passes the end of the file: it was truncated, or the offset is wrong.
    #[error("{path}: {bytes} bytes at {offset} asked for, the file ends at {file_bytes}")]
    ShortFile {
        /// File that is too short.
        path: PathBuf,
        /// First byte asked for.
        offset: u64,
        /// Bytes asked for.
        bytes: u32,
        /// Where the file ends.
        file_bytes: u64,
    },
    /// Longer than [`crate::READ_BYTES_MAX`].
    #[error("{path}: {bytes} bytes at {offset} asked for, at most {} at once", crate::READ_BYTES_MAX)]
    TooLong {
        /// File that was to be read.
        path: PathBuf,
        /// First byte asked for.
        offset: u64,
        /// Bytes asked for.
        bytes: u32,
    },
    /// The system refused or failed the read.
    #[error("{path}: reading {bytes} bytes at {offset}")]
    Io {
        /// File that was being read.
        path: PathBuf,
        /// First byte asked for.
        offset: u64,
        /// Bytes asked for.
        bytes: u32,
        /// What the system said.
        source: io::Error,
    },
    /// No memory for the buffer.
    #[error(transparent)]
    Buffer(#[from] BufferError),
    /// Withdrawn by [`Reader::withdraw`](super::Reader::withdraw) before it was begun.
    #[error("the read was withdrawn")]
    Withdrawn,
    /// The ring itself failed; the reader is of no more use.
    #[error("the io_uring cannot be entered, try --io pread")]
    Ring {
        /// What the system said.
        source: io::Error,
    },
}

/// Why a reader could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReaderError {
    /// io_uring was demanded and cannot be had.
    #[error("io_uring was asked for, but {0}; use --io auto or --io pread")]
    Uring(Unavailable),
    /// The threads of the positioned-read backend could not be started.
    #[error("a thread for positioned reads cannot be started")]
    Threads {
        /// What the system said.
        source: io::Error,
    },
    /// A depth of nothing, or one no ring can have.
    #[error("a depth of {depth} was asked for, it must be in 1..={max}")]
    Depth {
        /// What was asked for.
        depth: usize,
        /// Largest depth that may be asked for.
        max: usize,
    },
}
