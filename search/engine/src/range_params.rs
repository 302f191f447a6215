//! What a caller asks for within a radius.
use std::sync::Arc;

use spandrel_index::Matches;

use crate::params::Distances;

/// What a caller asks for: all vectors within a radius.
#[derive(Debug, Clone, PartialEq)]
pub struct RangeParams {
    /// Largest distance, which counts itself, in the unit that answers show: squared L2 or `1 - cos` of at most this, an inner
    /// product of at least this. Finite, and no less than 0 but for inner product.
    pub radius: f32,
    /// The share of the vectors within the radius that is wanted, from 0 to 1: on average over queries that have some and are like those the
    /// index was calibrated with.
    ///
    /// Lists that seldom hold such a vector are left out, for radii up to the largest that was calibrated and without a filter. They may miss three
    /// quarters of what may be missed. Estimates are trusted to `t` standard errors, where a normal error exceeds `t` with a chance below the
    /// quarter left, or below all of it where no list is left out. At 1, and for codes of signs, `t` is [`RANGE_ERRORS_MAX`]. At 1 every
    /// list that can hold such a vector is scanned.
    pub completeness: f32,
    /// Vectors returned at most: the best. 1 or more; no limit if not given.
    pub max_results: Option<usize>,
    /// Bytes asked of the disk at most, counted before requests are merged across gaps: the farthest lists are left out, and
    /// then vectors that are least likely to be within the radius. 1 or more; no limit if not given.
    pub max_bytes: Option<u64>,
    /// Which distances answers may carry.
    pub distances: Distances,
    /// Which vectors may be answers, of the index that is searched; all if not given.
    pub filter: Option<Arc<Matches>>,
}

/// Standard errors by which estimates may be wrong where all vectors within a radius are wanted.
pub const RANGE_ERRORS_MAX: f32 = 8.0;

impl RangeParams {
    /// All vectors within a radius.
    pub const fn new(radius: f32) -> RangeParams {
        RangeParams {
            radius,
            completeness: 1.0,
            max_results: None,
            max_bytes: None,
            distances: Distances::Exact,
            filter: None,
        }
    }
}
