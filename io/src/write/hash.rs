//! Length and hash of files.
use xxhash_rust::xxh3::Xxh3;

use crate::{Blob, ReadError};

const BUFFER_BYTES: u64 = 1 << 20;

/// Length and hash of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// Bytes in the file.
    pub bytes: u64,
    /// XXH3-128 of them, seed 0.
    pub hash: u128,
}

/// Length and hash of a blob, read once from front to end through a small buffer. The hash leaves out the first `head_bytes`;
/// the length counts them.
///
/// # Errors
/// [`ReadError`].
pub fn hash_blob(blob: &dyn Blob, head_bytes: u64) -> Result<Written, ReadError> {
    let (mut hash, mut buffer) = (Xxh3::new(), vec![0; BUFFER_BYTES as usize]); // CAST: 1 MiB
    let bytes = blob.len();
    let mut at = head_bytes.min(bytes);
    while at < bytes {
        let (piece, _) = buffer.split_at_mut((bytes - at).min(BUFFER_BYTES) as usize); // CAST: at most 1 MiB
        blob.read_into(at, piece)?;
        hash.update(piece);
        at += piece.len() as u64; // CAST: widening
    }
    Ok(Written { bytes, hash: hash.digest128() })
}
