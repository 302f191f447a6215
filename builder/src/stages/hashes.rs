//! The hash of an input, made of those of its chunks.
use spandrel_index::format::hash_hex;
use xxhash_rust::xxh3::{Xxh3, xxh3_64_with_seed, xxh3_128};

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

/// A sum over rows and their ids, in any order and by pieces of any size: two ids that change places give another one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct IdsSum(u64);

impl IdsSum {
    /// Adds the ids of the rows from `first` on.
    pub(super) fn add(&mut self, first: u64, ids: &[u64]) {
        for (row, id) in (first..).zip(ids) {
            self.0 = self.0.wrapping_add(xxh3_64_with_seed(&id.to_le_bytes(), row));
        }
    }

    pub(super) fn join(&mut self, other: IdsSum) {
        self.0 = self.0.wrapping_add(other.0);
    }

    pub(super) fn finish(self) -> String {
        format!("{:016x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_of_ids_knows_their_order_and_not_the_pieces() {
        let of = |pieces: &[(u64, &[u64])]| {
            let mut sum = IdsSum::default();
            pieces.iter().for_each(|&(first, ids)| sum.add(first, ids));
            sum.finish()
        };
        let whole = of(&[(0, &[7, 3, 9])]);
        assert_eq!(whole, of(&[(2, &[9]), (0, &[7, 3])]));
        assert_ne!(whole, of(&[(0, &[3, 7, 9])]));
        assert_ne!(whole, of(&[(0, &[7, 3])]));
    }
}
