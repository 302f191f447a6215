//! A cache of pages of vectors, shared by an engine's workers.
//!
//! Only pages that were checked get in. Pages are spread over shards, each behind its own lock and with its own part of
//! the memory; what is used the least goes first, by CLOCK (Corbató, 1968). All memory is taken when it is made.
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use spandrel_index::Index;
use spandrel_index::format::VectorsOf;
use spandrel_io::{AlignedBuf, BufferError};

/// Shards at most: many more than workers, so that two rarely meet.
const SHARDS_MAX: usize = 64;
/// Pages of a shard at least, so that all are filled alike.
const SHARD_PAGES_MIN: usize = 256;
/// Memory of a page besides its bytes: its place in the table, its number, its mark.
const BOOK_BYTES: usize = 48;

/// The vectors of an index whose pages are cached: those of its column where it has one, since most queries are compared by them.
pub(crate) fn cached(index: &Index) -> VectorsOf {
    if index.holds(VectorsOf::Column) { VectorsOf::Column } else { VectorsOf::Main }
}

/// Pages in memory.
#[derive(Debug)]
pub(crate) struct PageCache {
    shards: Vec<Mutex<Shard>>,
    page_bytes: usize,
}

#[derive(Debug)]
struct Shard {
    pages: AlignedBuf,
    /// Where in `pages` a page is.
    slots: HashMap<u64, u32>,
    /// The page in each slot, and whether it was used since the hand went by.
    held: Vec<(u64, bool)>,
    hand: usize,
    slots_max: usize,
}

impl PageCache {
    /// Takes at most `bytes` of memory; there is no cache if that holds no page.
    pub(crate) fn new(bytes: usize, page_bytes: usize) -> Result<Option<PageCache>, BufferError> {
        let slots = bytes / (page_bytes + BOOK_BYTES);
        if slots == 0 {
            return Ok(None);
        }
        let count = (slots / SHARD_PAGES_MIN).clamp(1, SHARDS_MAX);
        let slots_max = slots / count;
        let shard = || {
            Ok(Mutex::new(Shard {
                pages: AlignedBuf::zeroed_huge(slots_max * page_bytes)?,
                slots: HashMap::with_capacity(slots_max),
                held: Vec::with_capacity(slots_max),
                hand: 0,
                slots_max,
            }))
        };
        let shards = (0..count).map(|_| shard()).collect::<Result<_, _>>()?;
        Ok(Some(PageCache { shards, page_bytes }))
    }

    /// Calls `with` on a page's bytes, if it is here. Its shard is locked for so long.
    pub(crate) fn get(&self, page: u64, with: impl FnOnce(&[u8])) -> bool {
        let mut shard = self.shard(page);
        let Some(&slot) = shard.slots.get(&page) else { return false };
        shard.held[slot as usize].1 = true;
        let at = slot as usize * self.page_bytes;
        with(&shard.pages[at..at + self.page_bytes]);
        true
    }

    /// Takes in a page that was checked.
    pub(crate) fn insert(&self, page: u64, bytes: &[u8]) {
        let mut shard = self.shard(page);
        let Shard { pages, slots, held, hand, slots_max } = &mut *shard;
        if slots.contains_key(&page) {
            return;
        }
        let slot = if held.len() < *slots_max {
            held.push((page, false));
            held.len() - 1
        } else {
            // Ends: a mark that was seen is gone the second time round.
            while std::mem::take(&mut held[*hand].1) {
                *hand = (*hand + 1) % *slots_max;
            }
            let slot = *hand;
            *hand = (slot + 1) % *slots_max;
            slots.remove(&held[slot].0);
            held[slot] = (page, false);
            slot
        };
        slots.insert(page, slot as u32); // CAST: fewer slots than pages, and those are numbered by position
        let at = slot * self.page_bytes;
        pages[at..at + self.page_bytes].copy_from_slice(bytes);
    }

    fn shard(&self, page: u64) -> MutexGuard<'_, Shard> {
        // Neighbouring pages are asked for together: spread, so that they do not wait for each other.
        let spread = page.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        let number = ((spread * self.shards.len() as u64) >> 32) as usize; // CAST: below the number of shards
        // A page is copied whole or, if that panicked, not looked at again before it is.
        self.shards[number].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(number: u64) -> Vec<u8> {
        number.to_le_bytes().repeat(64)
    }

    fn has(cache: &PageCache, number: u64) -> bool {
        cache.get(number, |bytes| assert_eq!(bytes, page(number), "page {number}"))
    }

    #[test]
    fn pages_come_back_as_they_were_and_used_ones_stay() {
        let cache = PageCache::new(1280 * (512 + BOOK_BYTES), 512).unwrap().unwrap();
        assert!(!has(&cache, 3));
        for number in 0..500 {
            cache.insert(number, &page(number));
        }
        let favourites: Vec<u64> = (0..500).filter(|&number| has(&cache, number)).collect();
        assert!(favourites.len() > 450, "{}", favourites.len());
        for number in 1000..200_000 {
            cache.insert(number, &page(number));
            if number % 20 == 0 {
                assert!(favourites.iter().filter(|&&favourite| has(&cache, favourite)).count() > 0);
            }
        }
        let kept = favourites.iter().filter(|&&number| has(&cache, number)).count();
        assert!(kept > favourites.len() * 9 / 10, "{kept} of {}", favourites.len());
        let all = (0..200_000).filter(|&number| has(&cache, number)).count();
        assert!((1000..=1280).contains(&all), "{all}");
        assert!(PageCache::new(500, 512).unwrap().is_none());
        assert_eq!(cache.shards.len(), 5);
    }
}
