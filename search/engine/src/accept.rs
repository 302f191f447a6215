//! Which vectors may be answers.
use std::ops::Range;
use std::sync::Arc;

use spandrel_index::{Location, Matches, SegmentMatches};

/// What a query may be answered with: everything, unless the search came with a filter.
///
/// It is asked before a vector is kept by its estimate and before a page is read for it, so that only pages of vectors that
/// may be answers are read.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Accepted {
    matches: Option<Arc<Matches>>,
    /// Whether blocks of codes without a match are looked for, and skipped.
    skips: bool,
}

impl Accepted {
    /// Only those that match, if that is given.
    pub(crate) fn new(matches: Option<Arc<Matches>>, skips: bool) -> Accepted {
        Accepted { matches, skips }
    }

    /// Those that match, where not all vectors may be answers.
    pub(crate) fn matches(&self) -> Option<&Matches> {
        self.matches.as_deref()
    }

    /// Those of a segment that match, where not all vectors may be answers.
    #[inline]
    pub(crate) fn of_segment(&self, segment: u16) -> Option<&SegmentMatches> {
        self.matches.as_ref()?.segments().get(usize::from(segment))
    }

    /// Whether blocks of codes without a vector that may be an answer are skipped.
    pub(crate) fn skips(&self) -> bool {
        self.skips && self.matches.is_some()
    }

    /// Whether the vector there may be an answer.
    #[inline]
    pub(crate) fn has(&self, location: Location) -> bool {
        self.matches.as_ref().is_none_or(|matches| matches.contains(location))
    }

    /// Whether every vector may be an answer.
    #[inline]
    pub(crate) fn is_all(&self) -> bool {
        self.matches.is_none()
    }

    /// Of the vectors of a segment at `positions`, those that may be answers.
    #[inline]
    pub(crate) fn count(&self, segment: u16, positions: Range<u32>) -> u64 {
        match &self.matches {
            None => positions.len() as u64, // CAST: widening
            Some(matches) => matches.count_in(segment, positions),
        }
    }
}
