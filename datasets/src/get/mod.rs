//! Downloading a public set: whole files, or the first rows of a larger one.
//!
//! Promises: a file appears under its own name only when it is complete, has the size and the header the
//! catalogue foretells, and is on disk; what stops halfway leaves a part that a later call continues, and
//! continues only while the server vouches that the file is still the same (`If-Range` with a strong `ETag`
//! or a date). Failures that may pass are tried again, within bounds. It does not know hashes, for none are
//! published, and it does not look into the vectors.
//!
//! ```text
//! OUT/bigann-10M.base.u8bin.part        rows so far, under the header of the finished file
//! OUT/bigann-10M.base.u8bin.part.json   where they came from, what version, how many bytes are durable
//! OUT/bigann-10M.base.u8bin             the finished file; the other two are gone
//! ```
mod error;
mod part;
#[cfg(test)]
mod tests;
mod transfer;
mod wire;

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use crate::catalogue::{Entry, HEADER_BYTES, RemoteFile};

pub use error::GetError;
pub use part::Header;
use transfer::Transfer;

/// How to fetch.
pub struct Options<'a> {
    /// A mirror to ask instead of the published addresses: `BASE/SET/FILE`, where SET is the set's name and
    /// FILE the last part of the published address, as in `http://mirror/ann/bigann/base.1B.u8bin`.
    pub url_base: Option<String>,
    /// Told of every step.
    pub progress: &'a mut dyn FnMut(Step<'_>),
    /// Looked at ten times a second; once true, the call ends with [`GetError::Stopped`].
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
        /// The address asked.
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
        /// The address asked.
        url: &'a str,
        /// What failed.
        cause: &'a str,
        /// Time until the next try.
        wait: Duration,
    },
    /// The bytes there cannot be continued: the file is fetched from its start.
    Restart {
        /// The address asked.
        url: &'a str,
        /// Why.
        cause: &'a str,
    },
    /// The file is complete and on disk.
    Finished(&'a Path),
}

/// Where the files are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// The vectors to index.
    pub base: PathBuf,
    /// The queries.
    pub queries: PathBuf,
    /// Their exact neighbours, if they are published.
    pub truth: Option<PathBuf>,
    /// Bytes of vectors and neighbours received by this call.
    pub received_bytes: u64,
}

/// Fetches the files of an entry into a folder, which is made if it is missing: queries, truth, base.
///
/// Files already there are kept when size and header are right and refused when they are not.
pub fn get(entry: &Entry, out_dir: &Path, mut options: Options<'_>) -> Result<Fetched, GetError> {
    let url_base = options.url_base.as_deref().map(checked_url_base).transpose()?;
    if !entry.checked {
        (options.progress)(Step::Unchecked(entry));
    }
    if entry.truth.is_none() {
        (options.progress)(Step::NoTruth(entry));
    }
    fs_err::create_dir_all(out_dir)?;
    let mut missing = Vec::new();
    for file in entry.files() {
        let path = out_dir.join(&file.file_name);
        if is_finished(&path, file)? {
            (options.progress)(Step::Present(&path));
        } else {
            missing.push((file, path));
        }
    }
    check_space(out_dir, &missing)?;

    let mut received_bytes = 0;
    for (file, path) in missing {
        let url = match &url_base {
            None => file.url.clone(),
            Some(base) => format!("{base}/{}/{}", file.set, file.remote_name()),
        };
        received_bytes += Transfer { file, url: &url, path: &path, options: &mut options }.run()?;
    }
    Ok(Fetched {
        base: out_dir.join(&entry.base.file_name),
        queries: out_dir.join(&entry.queries.file_name),
        truth: entry.truth.as_ref().map(|file| out_dir.join(&file.file_name)),
        received_bytes,
    })
}

/// A mirror's address without the slashes at its end.
fn checked_url_base(url_base: &str) -> Result<String, GetError> {
    let rest = url_base.strip_prefix("https://").or_else(|| url_base.strip_prefix("http://"));
    let host = rest.and_then(|r| r.split('/').next()).unwrap_or("");
    let plain = url_base.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'?' | b'#'));
    if host.is_empty() || !plain {
        return Err(GetError::UrlBase { found: url_base.to_owned() });
    }
    Ok(url_base.trim_end_matches('/').to_owned())
}

/// Whether the finished file is there; a file of that name that is not it is an error.
fn is_finished(path: &Path, file: &RemoteFile) -> Result<bool, GetError> {
    let metadata = match fs_err::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error.into()),
    };
    let existing =
        |expected: String, found: String| GetError::Existing { path: path.to_owned(), expected, found };
    if !metadata.is_file() {
        return Err(existing("a file".to_owned(), "something else".to_owned()));
    }
    if metadata.len() != file.bytes() {
        return Err(existing(format!("{} bytes", file.bytes()), format!("{} bytes", metadata.len())));
    }
    let mut bytes = [0; HEADER_BYTES as usize]; // CAST: 8
    fs_err::File::open(path)?.read_exact(&mut bytes)?;
    let (expected, found) = (Header::finished(file), Header::from_bytes(bytes));
    if found != expected {
        return Err(existing(expected.to_string(), found.to_string()));
    }
    Ok(true)
}

/// Refuses before the first request what the file system cannot hold.
fn check_space(out_dir: &Path, missing: &[(&RemoteFile, PathBuf)]) -> Result<(), GetError> {
    let mut needed_bytes = 0_u64;
    for (file, path) in missing {
        let have = fs_err::metadata(part::part_path(path)).map_or(0, |m| m.len());
        needed_bytes = needed_bytes.saturating_add(file.bytes().saturating_sub(have));
    }
    let free_bytes = spandrel_io::free_bytes(out_dir)?;
    if needed_bytes > free_bytes {
        return Err(GetError::NoSpace { path: out_dir.to_owned(), needed_bytes, free_bytes });
    }
    Ok(())
}
