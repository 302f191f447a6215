//! From the caller's id to the position: sorted pairs in pages, with the first id of each page at the end.
//!
//! ```text
//! body = pages | first id of each page, u64 each | xxh3-64 of those, seeded with the uuid
//! page = n x { id: 4 or 8 bytes, position: u32 } | zeros | crc32c: u32        4096 bytes
//! ```
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::checksum::{CRC_BYTES, check_sum, checksum};

/// Bytes of one page of ids.
pub const ID_PAGE_BYTES: usize = 4096;
const POSITION_BYTES: usize = 4;

/// Width of the ids of an index: four bytes unless one needs more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdBytes {
    /// Every id is below 2^32.
    Four,
    /// Some id is not.
    Eight,
}

impl IdBytes {
    /// The width that holds every id up to `largest`.
    pub fn holding(largest: u64) -> IdBytes {
        if largest <= u64::from(u32::MAX) { IdBytes::Four } else { IdBytes::Eight }
    }

    /// Bytes of one id.
    pub const fn get(self) -> usize {
        match self {
            IdBytes::Four => 4,
            IdBytes::Eight => 8,
        }
    }

    /// Appends one id.
    pub(super) fn write(self, id: u64, out: &mut Vec<u8>) {
        match self {
            IdBytes::Four => {
                debug_assert!(u32::try_from(id).is_ok());
                out.extend_from_slice(&(id as u32).to_le_bytes()); // CAST: `holding` chose the width
            }
            IdBytes::Eight => out.extend_from_slice(&id.to_le_bytes()),
        }
    }

    /// Reads the id at index `at` of ids lying back to back.
    pub(crate) fn read(self, ids: &[u8], at: usize) -> u64 {
        let id = match self {
            IdBytes::Four => ids.as_chunks::<4>().0.get(at).map(|&b| u64::from(u32::from_le_bytes(b))),
            IdBytes::Eight => ids.as_chunks::<8>().0.get(at).map(|&b| u64::from_le_bytes(b)),
        };
        match id {
            Some(id) => id,
            None => unreachable!("asked for an entry past the list's end"),
        }
    }
}

/// Writes and reads the pages of one index.
#[derive(Debug, Clone, Copy)]
pub struct IdPages {
    /// Width of an id.
    pub id_bytes: IdBytes,
    /// The index's uuid.
    pub uuid: u128,
}

impl IdPages {
    /// Pairs a page holds.
    pub fn page_entries(&self) -> usize {
        (ID_PAGE_BYTES - CRC_BYTES) / (self.id_bytes.get() + POSITION_BYTES)
    }

    /// Pages that `count` pairs take.
    pub fn pages(&self, count: u64) -> u64 {
        count.div_ceil(self.page_entries() as u64)
    }

    /// Bytes of the whole body for `count` pairs.
    pub fn body_bytes(&self, count: u64) -> u64 {
        self.pages(count) * (ID_PAGE_BYTES as u64 + 8) + 8
    }

    /// One page of at most [`IdPages::page_entries`] pairs in ascending order.
    pub fn page(&self, page_number: u64, pairs: &[(u64, u32)]) -> Vec<u8> {
        assert!(pairs.len() <= self.page_entries());
        let mut page = Vec::with_capacity(ID_PAGE_BYTES);
        for &(id, position) in pairs {
            self.id_bytes.write(id, &mut page);
            page.extend_from_slice(&position.to_le_bytes());
        }
        page.resize(ID_PAGE_BYTES - CRC_BYTES, 0);
        page.extend_from_slice(&checksum(self.uuid, page_number, &page).to_le_bytes());
        page
    }

    /// The end of the body: the first id of each page and their hash.
    pub fn tail(&self, first_ids: &[u64]) -> Vec<u8> {
        let mut tail: Vec<u8> = first_ids.iter().flat_map(|id| id.to_le_bytes()).collect();
        tail.extend_from_slice(&self.tail_hash(&tail).to_le_bytes());
        tail
    }

    /// The hash that ends the body, of the first ids as stored.
    pub(crate) fn tail_hash(&self, first_ids: &[u8]) -> u64 {
        xxh3_64_with_seed(first_ids, self.uuid as u64) // CAST: half of a hash
    }

    /// Pairs on a page, of `all` in the section.
    pub fn pairs_on(&self, page_number: u64, all: u64) -> usize {
        let per_page = self.page_entries() as u64;
        all.saturating_sub(page_number * per_page).min(per_page) as usize // CAST: at most a page's
    }

    /// The pairs of a page, `count` of them, if its checksum holds: the sums found and expected if not.
    pub fn read_page(
        &self,
        page_number: u64,
        page: &[u8],
        count: usize,
    ) -> Result<Vec<(u64, u32)>, (u32, u32)> {
        check_sum(self.uuid, page_number, page)?;
        let entry = self.id_bytes.get() + POSITION_BYTES;
        let pairs = page.chunks_exact(entry).take(count).map(|pair| {
            let (id, position) = pair.split_at(self.id_bytes.get());
            let position = position.first_chunk::<4>().map_or(0, |&b| u32::from_le_bytes(b));
            (self.id_bytes.read(id, 0), position)
        });
        Ok(pairs.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_round_trip() {
        for id_bytes in [IdBytes::Four, IdBytes::Eight] {
            let pages = IdPages { id_bytes, uuid: 5 };
            let pairs: Vec<(u64, u32)> =
                (0..pages.page_entries() as u64).map(|i| (i * 3, i as u32)).collect();
            let page = pages.page(2, &pairs);
            assert_eq!(page.len(), ID_PAGE_BYTES);
            assert_eq!(pages.read_page(2, &page, pairs.len()), Ok(pairs.clone()));
            assert!(pages.read_page(1, &page, pairs.len()).is_err());
        }
    }

    #[test]
    fn width_follows_the_largest_id() {
        assert_eq!(IdBytes::holding(u64::from(u32::MAX)), IdBytes::Four);
        assert_eq!(IdBytes::holding(1 << 32), IdBytes::Eight);
    }
}
