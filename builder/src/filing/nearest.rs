//! The nearest few of a row of scores.
use spandrel_index::kernels::below;

/// Columns whose least score stands for all of them in the first pass.
const STRIPES: usize = 8;

/// Buffers for [`NearestScratch::nearest`].
#[derive(Debug, Default)]
pub(crate) struct NearestScratch {
    minima: Vec<f32>,
    columns: Vec<u32>,
    keys: Vec<u64>,
    nearest: Vec<(f32, u32)>,
}

impl NearestScratch {
    /// The `count` least scores with their columns, ascending, lower columns first among equals.
    ///
    /// Scores below zero, which rounding can leave, count as zero.
    pub(crate) fn nearest(&mut self, scores: &[f32], count: usize) -> &[(f32, u32)] {
        let count = count.min(scores.len());
        self.nearest.clear();
        if count == 0 {
            return &self.nearest;
        }
        if count == 1 {
            self.nearest.push(least(scores));
            return &self.nearest;
        }
        let bound = self.upper_bound(scores, count);
        self.keys.clear();
        self.columns.clear();
        below(scores, bound, &mut self.columns);
        for &column in &self.columns {
            // Bits of floats from zero up are in the order of their values.
            let bits = scores[column as usize].max(0.0).to_bits();
            self.keys.push(u64::from(bits) << 32 | u64::from(column));
        }
        if self.keys.len() > count {
            self.keys.select_nth_unstable(count - 1);
            self.keys.truncate(count);
        }
        self.keys.sort_unstable();
        // CAST: the two halves put together above
        self.nearest.extend(self.keys.iter().map(|&key| (f32::from_bits((key >> 32) as u32), key as u32)));
        &self.nearest
    }

    /// A score that at least `count` scores do not exceed, and few more.
    fn upper_bound(&mut self, scores: &[f32], count: usize) -> f32 {
        let stripe = scores.len() / STRIPES;
        if stripe < count {
            return f32::INFINITY;
        }
        // The count-th of the columns' minima: that many columns have a score no greater.
        self.minima.clear();
        self.minima.extend_from_slice(&scores[..stripe]);
        for scores in scores[stripe..].chunks_exact(stripe) {
            for (least, &score) in self.minima.iter_mut().zip(scores) {
                *least = if score < *least { score } else { *least };
            }
        }
        *self.minima.select_nth_unstable_by(count - 1, f32::total_cmp).1
    }
}

/// The first of the least scores.
fn least(scores: &[f32]) -> (f32, u32) {
    let least = scores.iter().fold(f32::INFINITY, |a, &b| if b < a { b } else { a }).max(0.0);
    let at = scores.iter().position(|&score| score <= least).unwrap_or(0);
    (least, at as u32) // CAST: columns are numbered by u32
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng};

    use super::*;

    #[test]
    fn agrees_with_a_full_sort() {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(2);
        let mut scratch = NearestScratch::default();
        for len in [0, 1, 5, 63, 64, 100, 512, 1024, 1333] {
            for count in [1, 8, 64] {
                for top in [3, 100_000] {
                    let scores: Vec<f32> = (0..len).map(|_| rng.random_range(0..top) as f32).collect();
                    let mut all: Vec<(f32, u32)> = scores.iter().copied().zip(0..).collect();
                    all.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
                    all.truncate(count);
                    assert_eq!(scratch.nearest(&scores, count), all);
                }
            }
        }
    }

    #[test]
    fn below_zero_is_zero() {
        assert_eq!(NearestScratch::default().nearest(&[-0.5, 1.0, -3.0], 2), [(0.0, 0), (0.0, 2)]);
    }
}
