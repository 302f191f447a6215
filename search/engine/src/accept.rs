//! Which vectors may be answers.
use std::ops::Range;
use std::sync::Arc;

use spandrel_index::{Location, Matches};

/// What a query may be answered with: everything, unless the search came with a filter.
///
/// It is asked before a vector is kept by its estimate and before a page is read for it, so that only pages of vectors that
/// may be answers are read.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Accepted(pub(crate) Option<Arc<Matches>>);

impl Accepted {
    /// Whether the vector there may be an answer.
    #[inline]
    pub(crate) fn has(&self, location: Location) -> bool {
        self.0.as_ref().is_none_or(|matches| matches.contains(location))
    }

    /// Whether every vector may be an answer.
    #[inline]
    pub(crate) fn is_all(&self) -> bool {
        self.0.is_none()
    }

    /// Of the vectors of a segment at `positions`, those that may be answers.
    #[inline]
    pub(crate) fn count(&self, segment: u16, positions: Range<u32>) -> u64 {
        match &self.0 {
            None => positions.len() as u64, // CAST: widening
            Some(matches) => matches.count_in(segment, positions),
        }
    }
}
