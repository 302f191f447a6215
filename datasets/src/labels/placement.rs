//! Which tags to make.
use spandrel_index::Metric;

/// How many vectors carry each tag.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Frequencies {
    /// Different tags.
    pub tags: usize,
    /// Tag number `i`, from 0, has a frequency in proportion to `(i + 1)^-zipf`.
    pub zipf: f64,
    /// Tags of a vector, on average.
    pub per_vector: f64,
}

impl Frequencies {
    /// The number of `vectors` vectors that carry each tag, the most frequent first: at least 1, at most all.
    pub fn sizes(&self, vectors: u64) -> Vec<u64> {
        let weight = |tag: usize| (tag as f64 + 1.0).powf(-self.zipf); // CAST: exact to 2^53
        let total: f64 = (0..self.tags).map(weight).sum();
        let size = |tag| (vectors as f64 * self.per_vector * weight(tag) / total).round() as u64; // CAST: not negative
        (0..self.tags).map(|tag| size(tag).clamp(1, vectors)).collect()
    }
}

/// Which vectors carry a tag, and which queries ask for it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Placement {
    /// What near means.
    pub metric: Metric,
    /// From -1 to 1.
    pub correlation: f64,
    /// Equal seeds make equal tags.
    pub seed: u64,
    /// Threads to use; 0 for one on each processor.
    pub threads: usize,
}
