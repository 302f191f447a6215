//! Rotations of residuals before they are coded.
mod batch;
mod dense;
mod hadamard;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

pub(super) use batch::{BatchMatrix, BatchRotation};
pub use dense::{DenseRotation, RotationScratch};
use hadamard::{ROUNDS, transform};

/// How a residual of `dim` elements becomes one of the coded dimensions. Lengths are kept, except by
/// [`Rotation::Dense`] with fewer rows than elements.
#[derive(Debug, Clone)]
pub enum Rotation {
    /// As it is, with zeros appended.
    Identity,
    /// Random, in `O(d log d)`: [`ROUNDS`] of sign flips and a fast Hadamard transform, on the first and on the
    /// last `2^floor(log2 d)` dimensions in turn, each followed by mixing the two halves by an eighth of a turn.
    /// Without the mixing dimensions just below a power of two lose up to 60 % in accuracy.
    Hadamard {
        /// Sign bits, [`ROUNDS`] times the dimensions, set for a flip.
        flips: Vec<u8>,
    },
    /// Rows of a matrix, each as long as a residual.
    Dense(DenseRotation),
}

impl Rotation {
    /// A random rotation in `dims` dimensions.
    pub(crate) fn hadamard(dims: usize, seed: u64) -> Rotation {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        Rotation::Hadamard { flips: (0..(ROUNDS * dims).div_ceil(8)).map(|_| rng.random()).collect() }
    }

    /// Bytes of sign bits for `dims` dimensions.
    pub(crate) fn flip_bytes(dims: usize) -> usize {
        (ROUNDS * dims).div_ceil(8)
    }

    /// Rotates one or two rows of `dim` elements lying back to back into `out`, which has the coded dimensions of each.
    pub fn apply(&self, rows: &[f32], dim: usize, scratch: &mut RotationScratch, out: &mut [f32]) {
        let dims = out.len() * dim / rows.len();
        let each = rows.chunks_exact(dim).zip(out.chunks_exact_mut(dims));
        match self {
            Rotation::Identity => each.for_each(|(row, out)| pad(row, out)),
            Rotation::Hadamard { flips } => each.for_each(|(row, out)| {
                pad(row, out);
                transform(flips, out);
            }),
            Rotation::Dense(matrix) => matrix.apply(rows, scratch, out),
        }
    }

    /// Memory it takes.
    pub(crate) fn memory_bytes(&self) -> usize {
        match self {
            Rotation::Identity => 0,
            Rotation::Hadamard { flips } => flips.len(),
            Rotation::Dense(matrix) => matrix.memory_bytes(),
        }
    }
}

fn pad(row: &[f32], out: &mut [f32]) {
    let (start, rest) = out.split_at_mut(row.len());
    start.copy_from_slice(row);
    rest.fill(0.0);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn norm(x: &[f32]) -> f32 {
        x.iter().map(|x| x * x).sum::<f32>().sqrt()
    }

    #[test]
    fn random_rotations_keep_lengths_and_spread_them() {
        for dims in [32, 64, 96, 128, 160, 384, 4096] {
            let rotation = Rotation::hadamard(dims, 9);
            for element in [0, dims / 3, dims - 1] {
                let mut row = vec![0.0; dims];
                row[element] = 3.0;
                let mut out = vec![0.0; dims];
                rotation.apply(&row, dims, &mut RotationScratch::default(), &mut out);
                assert!((norm(&out) - 3.0).abs() < 1e-4);
                let largest = out.iter().fold(0.0_f32, |m, x| m.max(x.abs()));
                assert!(largest < 3.0 * 5.0 / (dims as f32).sqrt(), "{dims}: {largest}");
            }
        }
    }

    #[test]
    fn many_rows_are_rotated_like_one() {
        let rows: Vec<f32> = (0..4 * 40).map(|i| ((i * 37) % 11) as f32 - 5.0).collect();
        let matrix: Vec<f32> = (0..64 * 40).map(|i| ((i * 53) % 7) as f32 / 50.0).collect();
        let dense = Rotation::Dense(DenseRotation::new(&matrix, 40));
        for rotation in [Rotation::Identity, Rotation::hadamard(64, 1), dense] {
            let mut all = Vec::new();
            BatchRotation::new(&rotation, 40, 64).apply(&rows, &mut all);
            let mut scratch = RotationScratch::default();
            for count in [1, 2] {
                for (rows, expected) in rows.chunks(count * 40).zip(all.chunks(count * 64)) {
                    let mut found = vec![f32::NAN; count * 64];
                    rotation.apply(rows, 40, &mut scratch, &mut found);
                    for (a, b) in found.iter().zip(expected) {
                        assert!((a - b).abs() < 2e-3, "{a} {b}");
                    }
                }
            }
        }
    }
}
