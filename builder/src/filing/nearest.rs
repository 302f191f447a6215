//! The nearest few of a row of scores.
use spandrel_index::kernels::{first_at_most, least};
use spandrel_index::{KSmallest, Wanted};

/// Columns whose least score stands for all of them in the first pass.
const STRIPES: usize = 8;

/// Buffers for [`NearestScratch::nearest`].
#[derive(Debug, Default)]
pub(crate) struct NearestScratch {
    smallest: KSmallest,
    nearest: Vec<(f32, u32)>,
}

impl NearestScratch {
    /// The `count` least scores with their columns, ascending, lower columns first among equals.
    ///
    /// Scores below zero, which rounding can leave, count as zero.
    pub(crate) fn nearest(&mut self, scores: &[f32], count: usize) -> &[(f32, u32)] {
        let NearestScratch { smallest, nearest } = self;
        if count == 1 && !scores.is_empty() {
            nearest.clear();
            nearest.push(first_of_least(scores));
            return nearest;
        }
        let wanted = Wanted { k: count, groups: scores.len() / STRIPES };
        smallest.select_while(scores, wanted, |score| score.max(0.0), nearest, &mut || true);
        nearest
    }
}

/// The first of the least scores.
fn first_of_least(scores: &[f32]) -> (f32, u32) {
    let least = least(scores).max(0.0);
    (least, first_at_most(scores, least).unwrap_or_default() as u32) // CAST: a column; scores of fewer than 2^32 are in memory
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
