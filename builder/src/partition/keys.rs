//! The place of each row in the order of the partition.
//!
//! ```text
//! key = number of its value: u32                             where the value has lists of its own, numbered in order
//!     | values with lists of their own + place: u32          else; the place among the rows of all other values
//! ```
use roaring::RoaringBitmap;
use spandrel_index::format::hash_hex;
use spandrel_io::Store;

use super::OWN_ROWS_MIN;
use crate::BuildError;
use crate::checkpoint::{PARTITION, Partitioned};
use crate::stages::{Content, read_checked};

/// Rows without a value, until all others are numbered.
const NULL: u32 = u32::MAX;

/// Where a row belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RowKey {
    /// To the lists of a value, by its number among those that have some.
    Own(u32),
    /// To the shared lists, at this place among their rows.
    Shared(u32),
}

/// Numbers rows, value by value in order.
pub(crate) struct KeyBuilder {
    keys: Vec<u32>,
    own: u32,
    shared: u32,
}

impl KeyBuilder {
    pub(crate) fn new(rows: u64) -> KeyBuilder {
        KeyBuilder { keys: vec![NULL; rows as usize], own: 0, shared: 0 } // CAST: usize is 64 bits
    }

    /// The rows of the next value, ascending.
    pub(crate) fn push(&mut self, rows: &RoaringBitmap) {
        self.take(rows.len(), rows.iter());
    }

    fn take(&mut self, count: u64, rows: impl Iterator<Item = u32>) {
        let is_own = count >= OWN_ROWS_MIN;
        for row in rows {
            self.keys[row as usize] = if is_own {
                self.own
            } else {
                // Counted down from the end, until it is known how many values have lists of their own.
                self.shared += 1;
                NULL - self.shared
            };
        }
        self.own += u32::from(is_own);
    }

    /// Numbers the rows without a value, and writes all.
    pub(crate) fn finish(mut self, scratch: &dyn Store) -> Result<Partitioned, BuildError> {
        let nulls: RoaringBitmap =
            (0..).zip(&self.keys).filter(|&(_, &key)| key == NULL).map(|(row, _): (u32, _)| row).collect();
        self.push(&nulls);
        let KeyBuilder { mut keys, own, shared } = self;
        keys.iter_mut().filter(|key| **key >= own).for_each(|key| *key = own + (NULL - 1 - *key));
        let mut bytes = Vec::new();
        let mut file = scratch.create(PARTITION)?;
        for keys in keys.chunks(1 << 16) {
            bytes.clear();
            keys.iter().for_each(|key| bytes.extend_from_slice(&key.to_le_bytes()));
            file.append(&bytes)?;
        }
        let written = file.finish()?;
        Ok(Partitioned { own, shared, bytes: written.bytes, hash: hash_hex(written.hash) })
    }
}

/// The keys of all rows.
pub(crate) struct Keys {
    bytes: Vec<u8>,
    pub(crate) own: u32,
    pub(crate) shared: u32,
}

impl Keys {
    /// Reads what a phase left for a number of rows, checked by its hash.
    pub(crate) fn read(
        partitioned: &Partitioned,
        rows: u64,
        scratch: &dyn Store,
    ) -> Result<Keys, BuildError> {
        let &Partitioned { own, shared, bytes, ref hash } = partitioned;
        let bytes = read_checked(scratch, PARTITION, Content { bytes, from: 0, hash })?;
        let keys = Keys { bytes, own, shared };
        if keys.are_of(rows) {
            return Ok(keys);
        }
        let what = format!("keys that are not those of {own} values and {shared} other rows");
        Err(BuildError::Scratch { path: scratch.path(PARTITION), what })
    }

    /// Whether the counts of the checkpoint are those of the keys.
    fn are_of(&self, rows: u64) -> bool {
        let (own, shared) = (u64::from(self.own), u64::from(self.shared));
        // CAST: widening
        if self.bytes.len() as u64 != 4 * rows || own * OWN_ROWS_MIN > rows {
            return false;
        }
        let sizes = self.sizes();
        let is_known = |&key: &[u8; 4]| u64::from(u32::from_le_bytes(key)) < own + shared;
        sizes.iter().all(|&rows| rows >= OWN_ROWS_MIN)
            && sizes.iter().sum::<u64>() + shared == rows
            && self.bytes.as_chunks::<4>().0.iter().all(is_known)
    }

    /// Where a row belongs.
    pub(crate) fn of(&self, row: u32) -> RowKey {
        let key = u32::from_le_bytes(self.bytes.as_chunks::<4>().0[row as usize]);
        key.checked_sub(self.own).map_or(RowKey::Own(key), RowKey::Shared)
    }

    /// Rows of each value that has lists of its own.
    pub(crate) fn sizes(&self) -> Vec<u64> {
        let mut sizes = vec![0; self.own as usize];
        for &key in self.bytes.as_chunks::<4>().0 {
            if let Some(size) = sizes.get_mut(u32::from_le_bytes(key) as usize) {
                *size += 1;
            }
        }
        sizes
    }
}

#[cfg(test)]
mod tests {
    use spandrel_io::FolderStore;

    use super::*;

    #[test]
    fn keys_are_refused_under_other_counts() {
        const ROWS: u64 = 5000;
        let dir = tempfile::tempdir().unwrap();
        let store = FolderStore::new(dir.path());
        // A large value, a small one, and none.
        let rows = |rests: &[u32]| -> RoaringBitmap {
            (0..ROWS as u32).filter(|row| rests.contains(&(row % 5))).collect()
        };
        let mut keys = KeyBuilder::new(ROWS);
        keys.push(&rows(&[0, 1, 2]));
        keys.push(&rows(&[3]));
        let written = keys.finish(&store).unwrap();
        assert_eq!((written.own, written.shared), (1, 2000));
        let keys = Keys::read(&written, ROWS, &store).unwrap();
        assert_eq!(keys.sizes(), [3000]);
        let found = [0, 7, 3, 8, 4, 9].map(|row| keys.of(row));
        assert_eq!(found[..2], [RowKey::Own(0); 2]);
        assert_eq!(found[2..], [0, 1, 1000, 1001].map(RowKey::Shared));
        for (own, shared, rows) in [
            (0, 2000, ROWS),
            (2, 2000, ROWS),
            (1, 1999, ROWS),
            (1, 2001, ROWS),
            (1, 2000, ROWS - 1),
            (1, 2000, ROWS + 1),
        ] {
            let wrong = Partitioned { own, shared, ..written.clone() };
            let read = Keys::read(&wrong, rows, &store);
            assert!(matches!(read, Err(BuildError::Scratch { .. })), "{own} values, {shared} of {rows} rows");
        }
    }
}
