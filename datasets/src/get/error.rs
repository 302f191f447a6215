//! How a download can fail.
use std::io;
use std::path::PathBuf;

use super::header::FileHeader;

/// A download that did not come to its end. What was received stays as a part for the next call, except
/// where the message says otherwise.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GetError {
    /// The mirror's address is not one: give scheme, host and path only.
    #[error("url base '{found}': expected http(s)://host/path without query or fragment")]
    UrlBase {
        /// Address that the caller gave.
        found: String,
    },
    /// The file system is too full: free some space or choose another folder.
    #[error(
        "{path}: {needed_bytes} bytes are still to come and {free_bytes} are free, free some or choose another folder"
    )]
    NoSpace {
        /// Folder that the file was to be fetched into.
        path: PathBuf,
        /// Bytes still to fetch.
        needed_bytes: u64,
        /// Bytes free on its file system.
        free_bytes: u64,
    },
    /// Something else has the finished file's name: move it away or choose another folder.
    #[error("{path}: expected {expected}, found {found}; move it away or choose another folder")]
    Existing {
        /// Path that is taken.
        path: PathBuf,
        /// What it should be.
        expected: String,
        /// What has the name.
        found: String,
    },
    /// Another process fetches the same file into the same folder: wait for it.
    #[error("{path}: another process is writing it, wait until it has ended")]
    Locked {
        /// Partial file that the other process holds.
        path: PathBuf,
    },
    /// The part was begun from another address: ask there, or delete it.
    #[error(
        "{path}: {have} bytes came from {found}, not from {expected}; use that address or delete the part"
    )]
    OtherSource {
        /// Partial file that came from elsewhere.
        path: PathBuf,
        /// Bytes fetched so far.
        have: u64,
        /// The address asked now.
        expected: String,
        /// The address it came from.
        found: String,
    },
    /// The server refused: the file has moved, or the mirror does not have it.
    #[error("{url}: status {status}; if the file has moved, give a mirror with --url-base")]
    Status {
        /// Address that was asked.
        url: String,
        /// The HTTP status.
        status: u16,
    },
    /// The published file has another size than the catalogue says: the catalogue or the address is wrong.
    #[error(
        "{url}: expected {expected} bytes by the catalogue, found {found}; the address holds another file"
    )]
    Size {
        /// Address that was asked.
        url: String,
        /// Bytes by the catalogue.
        expected: u64,
        /// Bytes by the server.
        found: u64,
    },
    /// The published file has another header than the catalogue says: the catalogue or the address is wrong.
    #[error("{url}: expected {expected} by the catalogue, found {found}; the address holds another file")]
    Header {
        /// Address of the published file.
        url: String,
        /// Rows and width by the catalogue.
        expected: FileHeader,
        /// Rows and width by the file.
        found: FileHeader,
    },
    /// The server's answer makes no sense: try a mirror.
    #[error("{url}: {cause}; try a mirror with --url-base")]
    Protocol {
        /// Address that was asked.
        url: String,
        /// What was wrong with the answer.
        cause: String,
    },
    /// Too many tries in a row failed: run the same command later, it goes on where this one stopped.
    #[error("{url}: gave up after {tries} tries, the last: {cause}; run the same command again to go on")]
    GaveUp {
        /// Address that was asked.
        url: String,
        /// Tries in a row.
        tries: u32,
        /// How the last one failed.
        cause: String,
    },
    /// The file had to be begun anew too often: the server cannot continue a download, or the file changes.
    #[error("{url}: begun anew {restarts} times, the last because {cause}; try a mirror with --url-base")]
    Restarts {
        /// Address that was asked.
        url: String,
        /// Times begun anew.
        restarts: u32,
        /// Why the last time.
        cause: String,
    },
    /// The caller's stop flag was set: run the same command again to go on.
    #[error("{path}: stopped at {have} of {total} bytes, run the same command again to go on")]
    Stopped {
        /// Partial file, from which the same command goes on.
        path: PathBuf,
        /// Bytes fetched so far.
        have: u64,
        /// Bytes of the finished file.
        total: u64,
    },
    /// The local file system failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}
