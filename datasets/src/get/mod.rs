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
mod header;
mod options;
mod part;
#[cfg(test)]
mod tests;
mod transfer;
mod wire;

use std::io::Read;
use std::path::{Path, PathBuf};

use crate::catalogue::{Entry, HEADER_BYTES, RemoteFile};

pub use error::GetError;
pub use header::FileHeader;
pub use options::{Backoff, Options, Step};
use transfer::Transfer;

/// Where the files are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// The vectors to index.
    pub base: PathBuf,
    /// Path of the file of queries.
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
    let (expected, found) = (FileHeader::finished(file), FileHeader::from_bytes(bytes));
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
