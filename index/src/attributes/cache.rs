//! Postings that were read, up to a number of bytes: of an index, for all its attributes.
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use roaring::RoaringBitmap;

/// Bytes of the postings that an open index keeps.
pub(crate) const CACHE_BYTES: usize = 64 << 20;
/// Bytes that a posting takes beside its own.
const ENTRY_BYTES: usize = 160;

/// Which posting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) segment: u16,
    pub(super) attribute: u16,
    /// Number of the value; none for positions without one.
    pub(super) value: Option<u32>,
}

/// Keeps those that were asked for again when there is no room for all.
#[derive(Debug)]
pub(crate) struct PostingCache {
    kept: Mutex<Kept>,
    bytes_max: usize,
}

#[derive(Debug, Default)]
struct Kept {
    postings: HashMap<Key, Posting>,
    /// In the order in which they are looked at for removal.
    order: VecDeque<Key>,
    bytes: usize,
}

#[derive(Debug)]
struct Posting {
    positions: Arc<RoaringBitmap>,
    bytes: usize,
    /// Since it was looked at for removal.
    used: bool,
}

impl PostingCache {
    /// Of at most `bytes_max` bytes.
    pub(crate) fn new(bytes_max: usize) -> PostingCache {
        PostingCache { kept: Mutex::default(), bytes_max }
    }

    pub(super) fn get(&self, key: Key) -> Option<Arc<RoaringBitmap>> {
        let mut kept = self.lock();
        let posting = kept.postings.get_mut(&key)?;
        posting.used = true;
        Some(Arc::clone(&posting.positions))
    }

    /// Keeps a posting unless it would take most of the room.
    pub(super) fn put(&self, key: Key, positions: &Arc<RoaringBitmap>) {
        let bytes = positions.serialized_size() + ENTRY_BYTES;
        if bytes > self.bytes_max / 2 {
            return;
        }
        let mut kept = self.lock();
        let posting = Posting { positions: Arc::clone(positions), bytes, used: false };
        match kept.postings.insert(key, posting) {
            // Another thread has read it meanwhile.
            Some(before) => kept.bytes -= before.bytes,
            None => kept.order.push_back(key),
        }
        kept.bytes += bytes;
        while kept.bytes > self.bytes_max {
            kept.remove_one();
        }
    }

    /// Bytes of what is kept.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.lock().bytes
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        // Nothing that runs under the lock panics between two changes that belong together.
        self.kept.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Kept {
    /// Removes the first in order that was not used since it was last looked at.
    fn remove_one(&mut self) {
        while let Some(key) = self.order.pop_front() {
            match self.postings.get_mut(&key) {
                Some(posting) if posting.used => {
                    posting.used = false;
                    self.order.push_back(key);
                }
                _ => {
                    self.bytes -= self.postings.remove(&key).map_or(0, |posting| posting.bytes);
                    return;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(value: u32) -> Key {
        Key { segment: 0, attribute: 1, value: Some(value) }
    }

    #[test]
    fn what_is_kept_stays_below_the_bound_and_what_is_used_stays() {
        let posting = Arc::new((0..5000).step_by(2).collect::<RoaringBitmap>());
        let bytes = posting.serialized_size() + ENTRY_BYTES;
        let cache = PostingCache::new(10 * bytes);
        cache.put(key(0), &posting);
        for value in 1..100 {
            assert!(cache.get(key(0)).is_some(), "{value}");
            cache.put(key(value), &posting);
            assert!(cache.memory_bytes() <= 10 * bytes);
        }
        assert!(cache.get(key(99)).is_some() && cache.get(key(1)).is_none());
        let counts = |kept: &Kept| (kept.postings.len(), kept.order.len());
        assert_eq!(counts(&cache.lock()), (10, 10));
        cache.put(key(99), &posting);
        assert_eq!(cache.memory_bytes(), 10 * bytes);
        // One that would take the room of all others is not kept.
        let small = PostingCache::new(bytes);
        small.put(key(0), &posting);
        assert_eq!((small.get(key(0)), small.memory_bytes()), (None, 0));
    }
}
