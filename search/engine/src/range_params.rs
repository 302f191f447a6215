//! What a caller asks for within a radius.
use std::sync::Arc;

use spandrel_index::Matches;
use spandrel_index::codes::CodeSpec;

use crate::params::Distances;

/// What a caller asks for: all vectors within a radius.
#[derive(Debug, Clone, PartialEq)]
pub struct RangeParams {
    /// Largest distance, which counts itself, in the unit that answers show: squared L2 or `1 - cos` of at most this, an inner
    /// product of at least this. Finite, and no less than 0 but for inner product.
    pub radius: f32,
    /// The share of the vectors within the radius that is wanted, from 0 to 1. It decides how far estimates are trusted:
    /// `t` standard errors, where a normal error exceeds `t` with a chance below `1 - completeness`. At 1 these are
    /// [`RANGE_ERRORS_MAX`], and for codes of signs always; at 0.5 and less none. Every list that can hold such a vector is scanned in any case.
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

    /// Standard errors by which an estimate may be too large.
    ///
    /// A vector on the radius is missed where its error is more than `t` standard errors: with a chance of at most
    /// `exp(-t^2 / 2) / 2`, and those inside with less. `t` makes that the share that may be missed.
    pub(crate) fn errors(&self, code: CodeSpec) -> f32 {
        let missed = 1.0 - f64::from(self.completeness);
        let errors = (-2.0 * (2.0 * missed).ln()).max(0.0).sqrt();
        let errors = (errors as f32).min(RANGE_ERRORS_MAX); // CAST: rounds
        // Estimates from signs are too large for far vectors, by several of their errors: with fewer, searches of small sets for half
        // of what is within a radius found a quarter less than that.
        if code == CodeSpec::Binary { RANGE_ERRORS_MAX } else { errors }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_completeness_takes_more_errors() {
        let errors = |completeness| {
            RangeParams { completeness, ..RangeParams::new(1.0) }.errors(CodeSpec::RaBitQ { bits: 2 })
        };
        assert_eq!([0.0, 0.5, 1.0].map(errors), [0.0, 0.0, RANGE_ERRORS_MAX]);
        assert!((errors(0.95) - 2.146).abs() < 1e-3 && (errors(0.99) - 2.797).abs() < 1e-3);
        assert!(errors(1.0_f32.next_down()) > 5.0);
    }
}
