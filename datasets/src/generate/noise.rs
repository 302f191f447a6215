//! Random numbers that are the same on every machine: integer arithmetic, no library functions.
use rand::{RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// What a stream of random numbers is for. No two purposes share numbers.
#[derive(Debug, Clone, Copy)]
#[repr(u64)]
pub(super) enum Purpose {
    /// The model of the base.
    Model = 1,
    /// The second model of out-of-distribution queries.
    QueryModel = 2,
    /// Rows of the base.
    Base = 3,
    /// Rows of queries.
    Queries = 4,
    /// Which rows of the base are copies.
    Copies = 5,
    /// Words and topics of documents.
    Words = 6,
    /// What each document is about.
    Subjects = 7,
    /// Tokens of each document.
    Tokens = 8,
    /// Tokens of each query document.
    QueryTokens = 9,
    /// Number of tokens of each document.
    Lengths = 10,
    /// Number of tokens of each query document.
    QueryLengths = 11,
}

/// The random numbers of one row, independent of what was drawn for others.
pub(super) fn row_rng(seed: u64, purpose: Purpose, row: u64) -> ChaCha8Rng {
    // Purposes take the top bits of the stream, rows stay far below them.
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream((purpose as u64) << 56 | row);
    rng
}

/// A number in `0.0..1.0`.
pub(super) fn uniform(rng: &mut ChaCha8Rng) -> f32 {
    (rng.next_u32() >> 8) as f32 / (1 << 24) as f32 // CAST: 24 bits are exact
}

/// A number in `0..n`.
pub(crate) fn below(rng: &mut ChaCha8Rng, n: u64) -> u64 {
    let wide = u128::from(rng.next_u64()) * u128::from(n);
    (wide >> 64) as u64 // CAST: below n
}

/// A nearly normal number: the sum of four uniform ones, scaled to variance 1.
pub(super) fn normal(rng: &mut ChaCha8Rng) -> f32 {
    const MEAN: i32 = 2 * 65_535;
    const DEVIATION: f32 = 37_837.0; // 65536 * sqrt(4 / 12)
    let bits = rng.next_u64();
    let sum: u64 = (0..4).map(|i| bits >> (16 * i) & 0xffff).sum();
    (sum as i32 - MEAN) as f32 / DEVIATION // CAST: below 2^18
}

/// Nearly normal numbers for `out`.
pub(super) fn normals(rng: &mut ChaCha8Rng, out: &mut [f32]) {
    out.iter_mut().for_each(|x| *x = normal(rng));
}

/// Picks one of some choices, the first ones more often: the weight of number `i` is `1 / sqrt(i + 1)`.
#[derive(Debug, Clone)]
pub(super) struct Skewed {
    cumulative: Vec<f32>,
}

impl Skewed {
    pub(super) fn new(choices: usize) -> Skewed {
        let mut sum = 0.0_f64;
        let cumulative: Vec<f64> = (1..=choices)
            .map(|rank| {
                sum += 1.0 / (rank as f64).sqrt(); // CAST: small
                sum
            })
            .collect();
        Skewed { cumulative: cumulative.iter().map(|c| (c / sum) as f32).collect() } // CAST: a share
    }

    pub(super) fn pick(&self, rng: &mut ChaCha8Rng) -> usize {
        let at = uniform(rng);
        self.cumulative.partition_point(|&c| c <= at).min(self.cumulative.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_the_moments_they_promise() {
        let mut rng = row_rng(1, Purpose::Base, 0);
        let count = 100_000;
        let mut sums = [0.0_f64; 4];
        for _ in 0..count {
            let x = f64::from(normal(&mut rng));
            sums[0] += x;
            sums[1] += x * x;
            sums[2] += f64::from(uniform(&mut rng));
            sums[3] += below(&mut rng, 10) as f64;
        }
        for (sum, expected) in sums.iter().zip([0.0, 1.0, 0.5, 4.5]) {
            let mean = sum / f64::from(count);
            assert!((mean - expected).abs() < 0.03, "{mean} {expected}");
        }
    }

    #[test]
    fn skewed_choices_follow_their_weights() {
        let (skewed, mut rng) = (Skewed::new(4), row_rng(1, Purpose::Base, 1));
        let mut counts = [0_u32; 4];
        for _ in 0..40_000 {
            counts[skewed.pick(&mut rng)] += 1;
        }
        let ratio = f64::from(counts[0]) / f64::from(counts[3]);
        assert!((ratio - 2.0).abs() < 0.15, "{counts:?}");
    }

    #[test]
    fn rows_and_purposes_are_independent() {
        let first = |seed, purpose, row| row_rng(seed, purpose, row).next_u64();
        let a = first(1, Purpose::Base, 0);
        assert_eq!(a, first(1, Purpose::Base, 0));
        for b in [first(2, Purpose::Base, 0), first(1, Purpose::Queries, 0), first(1, Purpose::Base, 1)] {
            assert_ne!(a, b);
        }
    }
}
