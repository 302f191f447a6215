//! Postings and frames that were read, up to a number of bytes: of an index, for all its attributes.
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use crate::segment_matches::SegmentMatches;

/// Bytes of the postings and frames that an open index keeps.
pub(crate) const CACHE_BYTES: usize = 64 << 20;
/// Bytes that a piece takes beside its own.
const ENTRY_BYTES: usize = 160;

/// Which piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) segment: u16,
    pub(super) attribute: u16,
    pub(super) part: CachedPart,
}

/// What of an attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum CachedPart {
    /// Positions of a value, by its number.
    Posting(u32),
    /// Positions without a value.
    Nulls,
    /// Some frames next to each other, by the number of the first.
    Frames(u32),
}

/// A piece whose sums held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    Positions(SegmentMatches),
    Frames(Arc<[u8]>),
}

/// Keeps pieces that were asked for again when there is no room for all.
#[derive(Debug)]
pub(crate) struct PostingCache {
    kept: Mutex<Kept>,
    bytes_max: usize,
}

#[derive(Debug, Default)]
struct Kept {
    pieces: HashMap<Key, Entry>,
    /// In the order in which they are looked at for removal.
    order: VecDeque<Key>,
    bytes: usize,
}

#[derive(Debug)]
struct Entry {
    piece: Piece,
    bytes: usize,
    /// Since it was looked at for removal.
    used: bool,
}

impl PostingCache {
    /// Of at most `bytes_max` bytes.
    pub(crate) fn new(bytes_max: usize) -> PostingCache {
        PostingCache { kept: Mutex::default(), bytes_max }
    }

    /// Whether pieces of this many bytes in all have a place beside others.
    pub(super) fn has_room_for(&self, bytes: u64) -> bool {
        bytes <= self.bytes_max as u64 / 2 // CAST: widening
    }

    pub(super) fn get(&self, key: Key) -> Option<Piece> {
        let mut kept = self.lock();
        let entry = kept.pieces.get_mut(&key)?;
        entry.used = true;
        Some(entry.piece.clone())
    }

    /// Keeps a piece unless it would take most of the room.
    pub(super) fn put(&self, key: Key, piece: Piece) {
        let bytes = piece.memory_bytes() + ENTRY_BYTES;
        if !self.has_room_for(bytes as u64) {
            return;
        }
        let mut kept = self.lock();
        match kept.pieces.insert(key, Entry { piece, bytes, used: false }) {
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

impl Piece {
    fn memory_bytes(&self) -> usize {
        match self {
            Piece::Positions(positions) => positions.memory_bytes(),
            Piece::Frames(bytes) => bytes.len(),
        }
    }
}

impl Kept {
    /// Removes the first in order that was not used since it was last looked at.
    fn remove_one(&mut self) {
        while let Some(key) = self.order.pop_front() {
            match self.pieces.get_mut(&key) {
                Some(entry) if entry.used => {
                    entry.used = false;
                    self.order.push_back(key);
                }
                _ => {
                    self.bytes -= self.pieces.remove(&key).map_or(0, |entry| entry.bytes);
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
        Key { segment: 0, attribute: 1, part: CachedPart::Posting(value) }
    }

    #[test]
    fn what_is_kept_stays_below_the_bound_and_what_is_used_stays() {
        let posting = SegmentMatches::from_sorted((0..5000).step_by(2).collect(), 5000);
        let posting = || Piece::Positions(posting.clone());
        let bytes = posting().memory_bytes() + ENTRY_BYTES;
        let cache = PostingCache::new(10 * bytes);
        cache.put(key(0), posting());
        for value in 1..100 {
            assert!(cache.get(key(0)).is_some(), "{value}");
            cache.put(key(value), posting());
            assert!(cache.memory_bytes() <= 10 * bytes);
        }
        assert!(cache.get(key(99)).is_some() && cache.get(key(1)).is_none());
        let counts = |kept: &Kept| (kept.pieces.len(), kept.order.len());
        assert_eq!(counts(&cache.lock()), (10, 10));
        cache.put(key(99), posting());
        assert_eq!(cache.memory_bytes(), 10 * bytes);
        // Frames have a room of their own beside a posting of the same number.
        cache.put(Key { part: CachedPart::Frames(99), ..key(0) }, Piece::Frames(vec![7; 3].into()));
        assert_eq!(cache.get(key(99)), Some(posting()));
        // One that would take the room of all others is not kept.
        let small = PostingCache::new(bytes);
        small.put(key(0), posting());
        assert_eq!((small.get(key(0)), small.memory_bytes()), (None, 0));
    }
}
