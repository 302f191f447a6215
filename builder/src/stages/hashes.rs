//! The hash of an input, made of those of its chunks.
use spandrel_index::format::hash_hex;
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

use crate::phase_memory::CHUNK_BYTES;

/// Rows of a chunk.
pub(super) fn chunk_rows(row_bytes: usize) -> u64 {
    (CHUNK_BYTES / row_bytes).max(1) as u64 // CAST: widening
}

/// The hash of the rows of a chunk and their ids; none where row numbers serve as ids.
pub(super) fn chunk_hash(rows: &[u8], ids: &[u64]) -> u128 {
    let mut hash = Xxh3::new();
    hash.update(&xxh3_128(rows).to_le_bytes());
    ids.iter().for_each(|id| hash.update(&id.to_le_bytes()));
    hash.digest128()
}

/// The input's hash, made of those of its chunks in order.
pub(super) fn input_hash(chunks: impl IntoIterator<Item = u128>) -> String {
    let mut hash = Xxh3::new();
    chunks.into_iter().for_each(|chunk| hash.update(&chunk.to_le_bytes()));
    hash_hex(hash.digest128())
}
