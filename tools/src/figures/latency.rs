//! Latencies, summed up exactly.

/// What a set of latencies is like, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct LatencySummary {
    /// Mean, in microseconds.
    pub mean_us: f64,
    /// 50th percentile.
    pub p50_us: f64,
    /// 95 % took no longer.
    pub p95_us: f64,
    /// 99 % took no longer.
    pub p99_us: f64,
    /// 99.9 % took no longer.
    pub p999_us: f64,
    /// Largest latency of the run.
    pub max_us: f64,
}

impl LatencySummary {
    /// Sums up samples in nanoseconds; their order is lost. Zeros when there is none.
    ///
    /// A percentile is a sample that was seen: the smallest that at least this share of samples do not exceed.
    pub fn of(samples_ns: &mut [u64]) -> LatencySummary {
        samples_ns.sort_unstable();
        let Some(&longest) = samples_ns.last() else { return LatencySummary::default() };
        let micros = |ns: u64| ns as f64 / 1e3; // CAST: 104 days fit exactly
        let sum: f64 = samples_ns.iter().map(|&ns| micros(ns)).sum();
        let percentile = |per_mille: usize| micros(samples_ns[rank(samples_ns.len(), per_mille)]);
        LatencySummary {
            mean_us: sum / samples_ns.len() as f64, // CAST: exact to 2^53 samples
            p50_us: percentile(500),
            p95_us: percentile(950),
            p99_us: percentile(990),
            p999_us: percentile(999),
            max_us: micros(longest),
        }
    }
}

/// Index of the nearest-rank percentile among `count` sorted samples, `count` not 0.
fn rank(count: usize, per_mille: usize) -> usize {
    (count as u128 * per_mille as u128).div_ceil(1000).saturating_sub(1) as usize // CAST: less than `count`
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_samples() {
        let mut samples: Vec<u64> = (1..=1000).rev().map(|us| us * 1000).collect();
        let summary = LatencySummary::of(&mut samples);
        let expected = LatencySummary {
            mean_us: 500.5,
            p50_us: 500.0,
            p95_us: 950.0,
            p99_us: 990.0,
            p999_us: 999.0,
            max_us: 1000.0,
        };
        assert_eq!(summary, expected);
    }

    #[test]
    fn few_samples() {
        assert_eq!(LatencySummary::of(&mut []), LatencySummary::default());
        let one = LatencySummary::of(&mut [7000]);
        assert_eq!((one.p50_us, one.p999_us, one.mean_us), (7.0, 7.0, 7.0));
        let two = LatencySummary::of(&mut [9000, 1000]);
        assert_eq!((two.p50_us, two.p95_us), (1.0, 9.0));
        assert_eq!(rank(usize::MAX, 999), ((usize::MAX as u128 * 999).div_ceil(1000) - 1) as usize);
    }
}
