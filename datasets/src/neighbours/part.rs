//! The queries of one walk over the base.
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use rayon::prelude::*;
use spandrel_index::{SegmentMatches, VectorSource};

use crate::attributes::RowFilters;

/// Most bytes of the rows that match, of all filters of a walk.
const ALLOWED_BYTES: usize = 512 << 20;
/// Most filters that are worked out at once.
const FILTERS_AT_ONCE: usize = 64;

/// Queries, and the filters that they may have.
#[derive(Clone, Copy)]
pub(super) struct Asking<'a> {
    pub(super) queries: &'a dyn VectorSource,
    pub(super) filters: Option<&'a RowFilters>,
}

/// Some of the queries, and the rows that each may find.
pub(super) struct Part {
    pub(super) queries: Range<u64>,
    /// One for each of them, or none at all where there are no filters.
    pub(super) allowed: Vec<Arc<SegmentMatches>>,
}

impl Part {
    /// The queries from `first` on: at most `queries_max`, and at least one. It ends where more filters could exceed
    /// [`ALLOWED_BYTES`].
    pub(super) fn choose(asking: Asking<'_>, rows: u64, first: u64, queries_max: u64) -> Part {
        let end = asking.queries.len().min(first + queries_max);
        Part::of(asking.filters, rows, first..end)
    }

    /// As [`Part::choose`], of the first of some queries.
    pub(super) fn of(filters: Option<&RowFilters>, rows: u64, queries: Range<u64>) -> Part {
        let Range { start: first, end } = queries;
        let Some(filters) = filters else { return Part { queries, allowed: Vec::new() } };
        let filter_bytes = rows as usize / 8; // CAST: at most 2^32
        let at_once = filters_at_once(filter_bytes);
        let mut held: HashMap<usize, Arc<SegmentMatches>> = HashMap::new();
        let mut held_bytes = 0;
        let mut allowed = Vec::new();
        let number = |query: u64| filters.number(query as usize); // CAST: there is a filter in memory for each
        let mut next = first;
        while next < end {
            // Those of the queries ahead that are new, so that threads share the work.
            let mut new: Vec<usize> = Vec::new();
            for query in next..end {
                if new.len() == at_once {
                    break;
                }
                if !held.contains_key(&number(query)) && !new.contains(&number(query)) {
                    new.push(number(query));
                }
            }
            let sets: Vec<SegmentMatches> = new.par_iter().map(|&number| filters.matches(number)).collect();
            held_bytes += sets.iter().map(SegmentMatches::memory_bytes).sum::<usize>();
            held.extend(new.into_iter().zip(sets.into_iter().map(Arc::new)));
            while next < end
                && let Some(set) = held.get(&number(next))
            {
                allowed.push(set.clone());
                next += 1;
            }
            if held_bytes + at_once * filter_bytes > ALLOWED_BYTES {
                break;
            }
        }
        Part { queries: first..next, allowed }
    }

    /// How many queries there are.
    pub(super) fn count(&self) -> u64 {
        self.queries.end - self.queries.start
    }
}

/// Filters of at most `filter_bytes` bytes each that are worked out at once.
fn filters_at_once(filter_bytes: usize) -> usize {
    (ALLOWED_BYTES / filter_bytes.max(1)).clamp(1, FILTERS_AT_ONCE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_of_a_large_base_stay_within_their_memory() {
        assert_eq!([0, 125, 8 << 20].map(filters_at_once), [FILTERS_AT_ONCE; 3]);
        assert_eq!([16 << 20, 512 << 20, 513 << 20].map(filters_at_once), [32, 1, 1]);
    }
}
