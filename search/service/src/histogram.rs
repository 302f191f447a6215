//! Times in buckets, counted without a lock.
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::encoding::{EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::{MetricType, TypedMetric};

/// Upper ends of the buckets, in seconds; times over the last are in a bucket of their own.
pub(crate) const SECONDS: [f64; 20] = [
    5e-6, 10e-6, 20e-6, 50e-6, 100e-6, 200e-6, 500e-6, 1e-3, 2e-3, 5e-3, 10e-3, 20e-3, 50e-3, 0.1, 0.2, 0.5,
    1.0, 2.0, 5.0, 10.0,
];
const BUCKETS: usize = SECONDS.len() + 1;

/// How often times fell into each bucket.
#[derive(Debug, Clone, Default)]
pub(crate) struct Histogram(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    buckets: [AtomicU64; BUCKETS],
    nanoseconds: AtomicU64,
}

/// A histogram at one moment.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Snapshot {
    /// Times in each bucket, not those below it.
    pub(crate) buckets: [u64; BUCKETS],
    pub(crate) sum_seconds: f64,
}

impl Histogram {
    /// Counts a time.
    pub(crate) fn observe(&self, seconds: f64) {
        let bucket = SECONDS.partition_point(|&end| end < seconds);
        if let Some(bucket) = self.0.buckets.get(bucket) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        self.0.nanoseconds.fetch_add((seconds * 1e9) as u64, Ordering::Relaxed); // CAST: saturates
    }

    /// What was counted so far. Times counted meanwhile may be in the buckets and not yet in the sum.
    pub(crate) fn snapshot(&self) -> Snapshot {
        let buckets = std::array::from_fn(|at| {
            self.0.buckets.get(at).map_or(0, |bucket| bucket.load(Ordering::Relaxed))
        });
        let nanoseconds = self.0.nanoseconds.load(Ordering::Relaxed);
        Snapshot { buckets, sum_seconds: nanoseconds as f64 / 1e9 } // CAST: rounds
    }
}

impl TypedMetric for Histogram {
    const TYPE: MetricType = MetricType::Histogram;
}

impl EncodeMetric for Histogram {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), fmt::Error> {
        let Snapshot { buckets, sum_seconds } = self.snapshot();
        let ends = SECONDS.into_iter().chain([f64::INFINITY]);
        let ended: Vec<(f64, u64)> = ends.zip(buckets).collect();
        let count = buckets.iter().sum();
        encoder.encode_histogram::<NoLabelSet>(sum_seconds, count, &ended, None)
    }

    fn metric_type(&self) -> MetricType {
        Self::TYPE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_fall_into_the_bucket_that_ends_above_them() {
        let histogram = Histogram::default();
        for seconds in [0.0, 5e-6, 6e-6, 10.0, 11.0] {
            histogram.observe(seconds);
        }
        let Snapshot { buckets, sum_seconds } = histogram.snapshot();
        assert_eq!((buckets[0], buckets[1], buckets[19], buckets[20]), (2, 1, 1, 1));
        assert_eq!(buckets.iter().sum::<u64>(), 5);
        assert!((sum_seconds - 21.000_011).abs() < 1e-8, "{sum_seconds}");
    }
}
