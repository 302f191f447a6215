//! How to fetch, and what is told of it.
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use crate::catalogue::Entry;

/// How to fetch.
pub struct Options<'a> {
    /// A mirror to ask instead of the published addresses: `BASE/SET/FILE`, where SET is the set's name and
    /// FILE the last part of the published address, as in `http://mirror/ann/bigann/base.1B.u8bin`.
    pub url_base: Option<String>,
    /// Told of every step.
    pub progress: &'a mut dyn FnMut(Step<'_>),
    /// Looked at ten times a second; once true, the call ends with [`GetError::Stopped`](super::GetError::Stopped).
    pub stop: &'a AtomicBool,
    /// When to try again.
    pub backoff: Backoff,
}

/// How failures that may pass are tried again.
#[derive(Debug, Clone, Copy)]
pub struct Backoff {
    /// Wait before the second try; each later wait is twice the one before.
    pub first: Duration,
    /// Longest wait, also when the server asks for more.
    pub longest: Duration,
    /// Tries in a row that brought less than a mebibyte before giving up.
    pub tries: u32,
}

impl Default for Backoff {
    fn default() -> Self {
        Backoff { first: Duration::from_secs(1), longest: Duration::from_secs(60), tries: 8 }
    }
}

/// What is going on.
#[derive(Debug)]
#[non_exhaustive]
pub enum Step<'a> {
    /// The entry was never fetched whole with the facts in the catalogue: it may turn out to be wrong.
    Unchecked(&'a Entry),
    /// No truth is published for this entry.
    NoTruth(&'a Entry),
    /// The finished file was there already.
    Present(&'a Path),
    /// A file is begun, or continued if `have` is not 0.
    Begin {
        /// Address that was asked.
        url: &'a str,
        /// Bytes already there.
        have: u64,
        /// Bytes of the finished file.
        total: u64,
    },
    /// More bytes have been written.
    Bytes {
        /// Bytes there.
        have: u64,
        /// Bytes of the finished file.
        total: u64,
    },
    /// A try failed; the next follows after `wait`.
    Retry {
        /// Address that was asked.
        url: &'a str,
        /// What failed.
        cause: &'a str,
        /// Time until the next try.
        wait: Duration,
    },
    /// The bytes there cannot be continued: the file is fetched from its start.
    Restart {
        /// Address that was asked.
        url: &'a str,
        /// Why the server's bytes cannot be continued from here.
        cause: &'a str,
    },
    /// The file is complete and on disk.
    Finished(&'a Path),
}
