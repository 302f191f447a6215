//! Rotation by a matrix that was learned.
use crate::codes::rounding::nearest_whole;
use crate::codes::sums::squared_length;
use crate::kernels::matrix::{GROUP_ROWS, PackedMatrix};

/// Steps of 2^-15 in 1.0: a matrix is held as `i16` in these steps.
const STEPS: f32 = 32_768.0;
/// Length in steps that a row is scaled to before it is rotated. A row of the matrix is at most a little longer than
/// [`STEPS`], so each product sum, at most one length times the other, fits `i32`.
const LENGTH_STEPS: f64 = 32_000.0;

/// A matrix whose rows are no longer than one, in steps of 2^-15, times a scale.
///
/// Sixteen bits take half the memory of floats and a third of the time. The error of a rotated element is some
/// 1.3e-5 of the row's length, a tenth or less of what rounding it to a byte adds, so a hundredth or less of its variance.
#[derive(Debug, Clone)]
pub struct DenseRotation {
    matrix: PackedMatrix,
    /// What every element is multiplied with; 1 for a rotation.
    scale: f32,
}

/// Buffers of a rotation, used again by the next.
#[derive(Debug, Default)]
pub struct RotationScratch {
    rounded: Vec<[i16; 2]>,
    products: Vec<[i32; GROUP_ROWS]>,
}

impl DenseRotation {
    /// Rounds rows of `dim` elements lying back to back.
    pub(in crate::codes) fn new(rows: &[f32], dim: usize) -> DenseRotation {
        let steps = |x: &f32| nearest_whole(x * STEPS) as i16; // CAST: `as` saturates, and 1.0 becomes 32 767
        DenseRotation::from_steps(&rows.iter().map(steps).collect::<Vec<i16>>(), dim)
    }

    /// A matrix as stored.
    pub(in crate::codes) fn from_steps(values: &[i16], dim: usize) -> DenseRotation {
        DenseRotation { matrix: PackedMatrix::new(values, dim), scale: 1.0 }
    }

    /// Rounds rows of `dim` elements, of any length, lying back to back: the longest is one, times a scale.
    pub(in crate::codes) fn scaled(rows: &[f64], dim: usize) -> DenseRotation {
        let squares = rows.chunks_exact(dim).map(|row| row.iter().map(|x| x * x).sum::<f64>());
        let scale = squares.fold(0.0, f64::max).sqrt() as f32; // CAST: rounds
        let scale = if scale.is_finite() && scale > 0.0 { scale } else { 1.0 };
        let units: Vec<f32> = rows.iter().map(|x| (x / f64::from(scale)) as f32).collect(); // CAST: rounds
        let mut matrix = DenseRotation::new(&units, dim);
        matrix.set_scale(scale);
        matrix
    }

    pub(in crate::codes) fn set_scale(&mut self, scale: f32) {
        self.scale = scale;
    }

    pub(in crate::codes) fn scale(&self) -> f32 {
        self.scale
    }

    /// The matrix to be stored, row by row.
    pub(in crate::codes) fn steps(&self) -> impl Iterator<Item = i16> {
        self.matrix.values()
    }

    /// The matrix as f32, row by row.
    pub(in crate::codes) fn rows(&self) -> Vec<f32> {
        self.matrix.values().map(|x| f32::from(x) / STEPS * self.scale).collect()
    }

    /// Memory that a matrix from `dim` elements to `dims` takes.
    pub(in crate::codes) fn bytes(dim: usize, dims: usize) -> usize {
        2 * dim.next_multiple_of(2) * dims.next_multiple_of(GROUP_ROWS)
    }

    pub(in crate::codes) fn memory_bytes(&self) -> usize {
        self.matrix.memory_bytes()
    }

    /// Rotates one or two rows lying back to back.
    pub(in crate::codes) fn apply(&self, rows: &[f32], scratch: &mut RotationScratch, out: &mut [f32]) {
        let RotationScratch { rounded, products } = scratch;
        let (dim, dims, groups) = (self.matrix.columns(), self.matrix.rows(), self.matrix.groups());
        let mut scales = [0.0; 2];
        rounded.clear();
        for (row, scale) in rows.chunks_exact(dim).zip(&mut scales) {
            *scale = scale_of(row);
            let scale = *scale;
            let steps = |x: f32| nearest_whole(x * scale) as i16; // CAST: by the choice of scale at most `LENGTH_STEPS`
            let (pairs, last) = row.as_chunks::<2>();
            rounded.extend(pairs.iter().map(|pair| pair.map(steps)));
            rounded.extend(last.iter().map(|&x| [steps(x), 0]));
        }
        products.resize(rows.len() / dim * groups, [0; GROUP_ROWS]);
        self.matrix.products(rounded, products);
        for ((scale, products), out) in
            scales.iter().zip(products.chunks_exact(groups)).zip(out.chunks_exact_mut(dims))
        {
            // In double precision, which holds it for rows of any length.
            let back = if *scale > 0.0 {
                f64::from(self.scale) / (f64::from(STEPS) * f64::from(*scale))
            } else {
                0.0
            };
            let sums = out.iter_mut().zip(products.as_flattened());
            sums.for_each(|(out, &sum)| *out = (f64::from(sum) * back) as f32); // CAST: rounds
        }
    }
}

/// Steps in one of a row; 0 for a row of zeros, and for one so short that single precision does not hold its steps.
fn scale_of(row: &[f32]) -> f32 {
    let scale = (LENGTH_STEPS / squared_length(row).sqrt()) as f32; // CAST: rounds
    if scale.is_finite() { scale } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_any_length_are_rotated() {
        // A quarter turn in the plane of the first and the last of three.
        let rotation = DenseRotation::new(&[0.0, 0.0, -1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0], 3);
        let mut scratch = RotationScratch::default();
        for length in [0.0, 1e-45, 1e-30, 1.0, 300.0, 1e18] {
            let mut out = [f32::NAN; 6];
            rotation.apply(&[length, 0.0, 0.0, 0.0, -2.0 * length, length], &mut scratch, &mut out);
            let expected = [0.0, 0.0, length, -length, -2.0 * length, 0.0];
            for (found, expected) in out.iter().zip(expected) {
                let tolerance = if length < 1e-34 { 1e-34 } else { 1e-4 * length };
                assert!((found - expected).abs() <= tolerance, "{out:?} {length}");
            }
        }
    }

    #[test]
    fn a_matrix_is_stored_as_it_is_used() {
        let rows: Vec<f32> = (0..5 * 3).map(|i| (i as f32 - 7.0) / 7.0).collect();
        let rotation = DenseRotation::new(&rows, 3);
        let stored: Vec<i16> = rotation.steps().collect();
        assert!(DenseRotation::from_steps(&stored, 3).steps().eq(stored.iter().copied()));
        for (rounded, x) in rotation.rows().iter().zip(&rows) {
            assert!((rounded - x).abs() <= 1.0 / STEPS, "{rounded} {x}");
        }
    }
}
