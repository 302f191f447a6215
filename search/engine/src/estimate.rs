//! Recall as a sample of queries tells it.

/// Standard normal quantile of a two-sided interval of 95 %.
const Z: f64 = 1.959_964;

/// Recall of queries of which a sample was measured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RecallEstimate {
    /// Mean of the sample; 1 without any query.
    pub recall: f64,
    /// The interval that holds the mean of all such queries with a confidence of 95 %.
    pub low: f64,
    /// Upper end of the interval.
    pub high: f64,
    /// Queries measured.
    pub queries: usize,
}

impl RecallEstimate {
    /// From the recall of each query of a sample, a share from 0 to 1.
    ///
    /// The interval is Wilson's score interval, which allows for a true mean that differs from the sample's where a normal
    /// interval would shrink to nothing, as when nothing was missed. `n` queries count as `n / r` yes-or-no trials: `r` is their
    /// variance over that of such trials, at most 1, with one trial of ratio 1 added so that few misses do not make it small by
    /// chance.
    pub fn of(recalls: &[f64]) -> RecallEstimate {
        let queries = recalls.len();
        if queries == 0 {
            return RecallEstimate { recall: 1.0, low: 0.0, high: 1.0, queries };
        }
        let n = queries as f64; // CAST: exact
        let mean = recalls.iter().sum::<f64>() / n;
        let variance = recalls.iter().map(|recall| (recall - mean).powi(2)).sum::<f64>() / (n - 1.0).max(1.0);
        let of_trials = mean * (1.0 - mean);
        let ratio = if of_trials > 0.0 { variance / of_trials } else { 1.0 };
        let seen = n * mean.min(1.0 - mean).max(0.0);
        let ratio = ((ratio * seen + 1.0) / (seen + 1.0)).min(1.0);
        let trials = n / ratio;
        let (spread, shrink) = (Z * Z / trials, 1.0 / (1.0 + Z * Z / trials));
        let centre = (mean + 0.5 * spread) * shrink;
        let half = Z * (of_trials / trials + 0.25 * spread / trials).max(0.0).sqrt() * shrink;
        let (low, high) = ((centre - half).clamp(0.0, mean), (centre + half).clamp(mean, 1.0));
        RecallEstimate { recall: mean, low, high, queries }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_narrows_with_queries_and_with_their_agreement() {
        let width = |recalls: &[f64]| {
            let RecallEstimate { recall, low, high, .. } = RecallEstimate::of(recalls);
            assert!((0.0..=recall).contains(&low) && (recall..=1.0).contains(&high), "{low} {recall} {high}");
            high - low
        };
        let mixed = |n: usize| -> Vec<f64> { (0..n).map(|at| if at % 2 == 0 { 0.9 } else { 1.0 }).collect() };
        let all_or_nothing = |n: usize| -> Vec<f64> { (0..n).map(|at| f64::from(at % 20 > 0)).collect() };
        assert!(width(&mixed(1000)) < width(&mixed(100)) && width(&mixed(1000)) < 0.01);
        assert!(width(&mixed(1000)) < 0.5 * width(&all_or_nothing(1000)), "of one mean");
        // Wilson's interval of 95 of 100: 0.8882 to 0.9785.
        let of_trials = RecallEstimate::of(&all_or_nothing(100));
        assert!(
            (of_trials.low - 0.8882).abs() < 1e-3 && (of_trials.high - 0.9785).abs() < 1e-3,
            "{of_trials:?}"
        );
    }

    #[test]
    fn where_nothing_was_missed_something_may_be() {
        let RecallEstimate { recall, low, high, queries } = RecallEstimate::of(&[1.0; 50]);
        assert_eq!((recall, high, queries), (1.0, 1.0, 50));
        assert!((low - 0.9287).abs() < 1e-3, "{low}");
        let none = RecallEstimate::of(&[]);
        assert_eq!((none.low, none.high, none.queries), (0.0, 1.0, 0));
        assert!(RecallEstimate::of(&[0.0; 3]).high < 0.6);
    }
}
