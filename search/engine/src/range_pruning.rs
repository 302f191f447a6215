//! What a search within a radius spends for a share of the vectors within it.
use spandrel_index::Index;
use spandrel_index::codes::CodeSpec;
use spandrel_index::format::RangeCurve;

use crate::range_params::{RANGE_ERRORS_MAX, RangeParams};

/// Share of what may be missed that the lists left out may miss. Estimates may miss the rest.
const LISTS_MISS: f64 = 0.75;

/// What is left out of a search.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct RangePruning {
    /// Lists that take a larger cosine (`range_lists`) are left out.
    pub(crate) cosine: f64,
    /// Standard errors by which an estimate may be too large.
    pub(crate) errors: f32,
}

impl RangePruning {
    /// Whether no estimate may keep a vector out, however unlikely its error.
    pub(crate) fn finds_all(&self) -> bool {
        self.errors >= RANGE_ERRORS_MAX
    }

    /// Lists are left out where the index is calibrated for the radius, and without a filter.
    pub(crate) fn of(params: &RangeParams, index: &Index) -> RangePruning {
        let (code, missed) = (index.code(), 1.0 - f64::from(params.completeness));
        let ranges =
            index.recall().filter(|_| params.filter.is_none()).map_or(&[][..], |recall| &recall.ranges);
        let by_lists = if code == CodeSpec::Full { missed } else { LISTS_MISS * missed };
        let score = |radius| index.metric().score_of_distance(radius);
        let cosine = cosine(ranges, |curve| score(curve.radius) >= score(params.radius), 1.0 - by_lists);
        let by_errors = if cosine.is_some() { missed - by_lists } else { missed };
        RangePruning { cosine: cosine.unwrap_or(f64::INFINITY), errors: errors(by_errors, code) }
    }
}

/// The largest cosine of the lists that hold a share of the vectors within a radius: the larger of those of the calibrated radii before and after
/// it. None beyond the last radius, nor where no cosine holds that share.
fn cosine(ranges: &[RangeCurve], is_after: impl Fn(&RangeCurve) -> bool, share: f64) -> Option<f64> {
    let after = ranges.iter().position(is_after)?;
    let around = &ranges[after.saturating_sub(1)..=after];
    around
        .iter()
        .map(|curve| cosine_of(curve, share))
        .try_fold(f64::NEG_INFINITY, |most, of| Some(most.max(of?)))
}

/// Between two points the share falls ever faster, so that the line between them takes more lists than are needed.
fn cosine_of(curve: &RangeCurve, share: f64) -> Option<f64> {
    let after = curve.points.iter().position(|point| point.completeness >= share)?;
    let high = &curve.points[after];
    let Some(low) = after.checked_sub(1).map(|before| &curve.points[before]) else {
        return Some(high.cosine.into());
    };
    let way = (share - low.completeness) / (high.completeness - low.completeness);
    Some(f64::from(low.cosine) + way * f64::from(high.cosine - low.cosine))
}

/// A vector on the radius is missed where its error is more than `t` standard errors: with a chance of at most
/// `exp(-t^2 / 2) / 2`, and those inside with less. `t` makes that the share that may be missed.
fn errors(missed: f64, code: CodeSpec) -> f32 {
    let errors = (-2.0 * (2.0 * missed).ln()).max(0.0).sqrt();
    let errors = (errors as f32).min(RANGE_ERRORS_MAX); // CAST: rounds
    // Estimates from signs are too large for far vectors, by several of their errors: with fewer, searches of small sets for half
    // of what is within a radius found a quarter less than that.
    let is_of_signs = matches!(code, CodeSpec::Binary | CodeSpec::Recurrent { symmetric: true, .. });
    if is_of_signs { RANGE_ERRORS_MAX } else { errors }
}

#[cfg(test)]
mod tests {
    use super::*;
    use spandrel_index::format::RangePoint;

    #[test]
    fn cosines_are_the_larger_of_the_radii_around() {
        let point = |completeness, cosine| RangePoint { completeness, cosine, vectors_scanned: 1.0 };
        let curve = |radius, cosines: [f32; 2]| {
            let points = vec![point(0.5, cosines[0]), point(0.9, cosines[1])];
            RangeCurve { radius, queries: 9, points }
        };
        let ranges = [curve(1.0, [-0.2, 0.0]), curve(2.0, [-0.4, 0.2]), curve(3.0, [0.0, 0.1])];
        let at = |radius, share| cosine(&ranges, |curve| curve.radius >= radius, share);
        let near = |found: Option<f64>, expected: f64| (found.unwrap() - expected).abs() < 1e-6;
        assert!(near(at(0.5, 0.9), 0.0) && near(at(1.0, 0.9), 0.0), "those of the first before it");
        assert!(near(at(1.5, 0.9), 0.2) && near(at(1.5, 0.5), -0.2), "the larger of both");
        assert!(near(at(2.5, 0.7), 0.05), "between two points");
        assert!(near(at(2.5, 0.2), 0.0), "no less than the first point");
        assert_eq!((at(3.5, 0.5), at(1.0, 0.95)), (None, None));
    }

    #[test]
    fn errors_miss_no_more_than_they_may() {
        let axes = CodeSpec::Axes { bytes: 8 };
        assert_eq!(errors(0.0, axes), RANGE_ERRORS_MAX);
        assert!((errors(0.05, axes) - 2.146).abs() < 1e-3 && (errors(0.01, axes) - 2.797).abs() < 1e-3);
        let symmetric = CodeSpec::Recurrent { bits: 32, codes: 1, symmetric: true };
        assert_eq!((errors(0.5, axes), errors(0.5, CodeSpec::Binary)), (0.0, RANGE_ERRORS_MAX));
        assert_eq!(errors(0.5, symmetric), RANGE_ERRORS_MAX);
    }
}
