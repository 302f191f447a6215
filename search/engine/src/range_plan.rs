//! What a search within a radius collects, and how far it is.
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::range_lists::RangeLists;
use crate::range_pruning::RangePruning;

/// Entries of lists that are scanned in one part of a search within a radius, but for a list that has more: what one part can
/// find is bounded by them.
pub(crate) const PART_ENTRIES: usize = 1 << 14;
/// Bytes of lists that are read in one part, but for a list that has more.
pub(crate) const PART_BYTES: u64 = 16 << 20;

/// What is wanted within a radius.
#[derive(Debug, Clone)]
pub(crate) struct RangePlan {
    /// No larger score is within the radius.
    pub(crate) score: f32,
    pub(crate) pruning: RangePruning,
    /// How far the search is. Its parts come one after the other.
    cursor: Arc<Mutex<RangeCursor>>,
}

/// How far a search is.
#[derive(Debug, Default)]
pub(crate) struct RangeCursor {
    /// The lists of the search, once its first part has found them.
    pub(crate) lists: Option<RangeLists>,
    /// Lists of these that were scanned or left out.
    pub(crate) next: usize,
    /// What may still be asked of the disk.
    pub(crate) bytes_left: u64,
}

impl RangePlan {
    /// A search at its beginning.
    pub(crate) fn new(score: f32, pruning: RangePruning, bytes_max: u64) -> RangePlan {
        let cursor = RangeCursor { bytes_left: bytes_max, ..RangeCursor::default() };
        RangePlan { score, pruning, cursor: Arc::new(Mutex::new(cursor)) }
    }

    /// How far the search is.
    pub(crate) fn cursor(&self) -> MutexGuard<'_, RangeCursor> {
        // Each critical section leaves it whole at every step.
        self.cursor.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RangeCursor {
    /// Whether no list is left.
    pub(crate) fn is_over(&self) -> bool {
        self.lists.as_ref().is_some_and(|lists| self.next >= lists.lists.len())
    }
}

impl PartialEq for RangePlan {
    fn eq(&self, other: &RangePlan) -> bool {
        (self.score, self.pruning) == (other.score, other.pruning) && Arc::ptr_eq(&self.cursor, &other.cursor)
    }
}
