//! A cache of pages of vectors, shared by an engine's workers.
//!
//! Only pages that were checked get in. Pages are spread over shards, each behind its own lock, with its own part of the
//! memory and its own policy. All memory is taken when it is made.
use std::sync::{Mutex, MutexGuard, PoisonError};

use spandrel_index::Index;
use spandrel_index::format::VectorsOf;
use spandrel_io::{AlignedBuf, BufferError};

use super::clock::Clock;
use super::guarded::Guarded;
use super::policy::CachePolicy;
use super::predictor::Predictor;
use super::requested::Requested;

/// Shards at most: many more than workers, so that two rarely meet.
const SHARDS_MAX: usize = 64;
/// Pages of a shard at least, so that all are filled alike.
const SHARD_PAGES_MIN: usize = 256;
/// Bytes for each slot of a table that finds pages: a page, a link, the starts of up to two chains.
const PLACE_BYTES: usize = 20;
/// Bytes for the ends of the queues of all shards.
const ENDS_BYTES: usize = 16 * SHARDS_MAX;

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
    policy: Policy,
}

/// Where pages are, and which leaves.
#[derive(Debug)]
enum Policy {
    Clock(Clock),
    Predicted(Box<(Guarded, Predictor)>),
}

impl Policy {
    fn new(policy: CachePolicy, slots: usize) -> Policy {
        match policy {
            CachePolicy::Clock => Policy::Clock(Clock::new(slots)),
            CachePolicy::Predicted => {
                Policy::Predicted(Box::new((Guarded::new(slots), Predictor::new(slots))))
            }
        }
    }

    /// Memory a page, at most, besides its bytes.
    fn book_bytes(policy: CachePolicy) -> usize {
        match policy {
            CachePolicy::Clock => PLACE_BYTES + 1,
            // Three tables; the clock's mark; two links; two spare pages; four pages that are remembered.
            CachePolicy::Predicted => 3 * PLACE_BYTES + 1 + 8 + 16 + 32,
        }
    }

    fn slot_of(&self, page: u64) -> Option<u32> {
        match self {
            Policy::Clock(clock) => clock.slot_of(page),
            Policy::Predicted(guarded) => guarded.0.slot_of(page),
        }
    }

    fn request(&mut self, page: u64) -> Requested {
        match self {
            Policy::Clock(clock) => clock.request(page),
            Policy::Predicted(both) => {
                let (guarded, predictor) = &mut **both;
                guarded.request(page, predictor.again(page))
            }
        }
    }
}

impl Shard {
    #[cfg(test)]
    fn bytes(&self) -> usize {
        let tables = match &self.policy {
            Policy::Clock(clock) => clock.bytes(),
            Policy::Predicted(both) => both.0.bytes() + both.1.bytes(),
        };
        self.pages.len() + tables
    }
}

impl PageCache {
    /// Takes at most `bytes` of memory; there is no cache if that holds no page.
    pub(crate) fn new(
        bytes: usize,
        page_bytes: usize,
        policy: CachePolicy,
    ) -> Result<Option<PageCache>, BufferError> {
        let slots = bytes.saturating_sub(ENDS_BYTES) / (page_bytes + Policy::book_bytes(policy));
        if slots == 0 {
            return Ok(None);
        }
        let count = (slots / SHARD_PAGES_MIN).clamp(1, SHARDS_MAX);
        let slots = slots / count;
        let shard = || {
            Ok(Mutex::new(Shard {
                pages: AlignedBuf::zeroed_huge(slots * page_bytes)?,
                policy: Policy::new(policy, slots),
            }))
        };
        let shards = (0..count).map(|_| shard()).collect::<Result<_, _>>()?;
        Ok(Some(PageCache { shards, page_bytes }))
    }

    /// Calls `with` on a page's bytes, if it is here. Its shard is locked for so long.
    pub(crate) fn get(&self, page: u64, with: impl FnOnce(&[u8])) -> bool {
        let mut shard = self.shard(page);
        if shard.policy.slot_of(page).is_none() {
            return false;
        }
        let Requested { slot, .. } = shard.policy.request(page);
        let at = slot as usize * self.page_bytes;
        with(&shard.pages[at..at + self.page_bytes]);
        true
    }

    /// Takes in a page that was checked.
    pub(crate) fn insert(&self, page: u64, bytes: &[u8]) {
        let mut shard = self.shard(page);
        if shard.policy.slot_of(page).is_some() {
            return;
        }
        let Requested { slot, .. } = shard.policy.request(page);
        let at = slot as usize * self.page_bytes;
        shard.pages[at..at + self.page_bytes].copy_from_slice(bytes);
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
        for policy in CachePolicy::ALL {
            let bytes = 1280 * (512 + Policy::book_bytes(policy)) + ENDS_BYTES;
            let cache = PageCache::new(bytes, 512, policy).unwrap().unwrap();
            assert!(!has(&cache, 3));
            for number in 0..500 {
                cache.insert(number, &page(number));
            }
            // Twice, since one use is no reason to expect another.
            for _ in 0..2 {
                assert!((0..500).filter(|&number| has(&cache, number)).count() > 450);
            }
            let favourites: Vec<u64> = (0..500).filter(|&number| has(&cache, number)).collect();
            for number in 1000..200_000 {
                cache.insert(number, &page(number));
                if number % 20 == 0 {
                    assert!(favourites.iter().filter(|&&favourite| has(&cache, favourite)).count() > 0);
                }
            }
            let kept = favourites.iter().filter(|&&number| has(&cache, number)).count();
            assert!(kept > favourites.len() * 9 / 10, "{policy}: {kept} of {}", favourites.len());
            let all = (0..200_000).filter(|&number| has(&cache, number)).count();
            assert!((1000..=1280).contains(&all), "{policy}: {all}");
            assert!(PageCache::new(500, 512, policy).unwrap().is_none());
            assert_eq!(cache.shards.len(), 5);
        }
    }

    #[test]
    fn a_cache_takes_the_memory_that_it_was_given() {
        for policy in CachePolicy::ALL {
            let mut least = 1.0f64;
            for bytes in (1..60).map(|step| step * 317_000) {
                let cache = PageCache::new(bytes, 4096, policy).unwrap().unwrap();
                let slots = bytes / (4096 + Policy::book_bytes(policy));
                for number in 0..3 * slots as u64 {
                    cache.insert(number, &[0; 4096]);
                }
                let taken: usize = cache.shards.iter().map(|shard| shard.lock().unwrap().bytes()).sum();
                assert!(taken <= bytes, "{policy}: {taken} of {bytes}");
                least = least.min(taken as f64 / bytes as f64);
            }
            assert!(least > 0.5, "{policy}: only {least}");
        }
    }
}
