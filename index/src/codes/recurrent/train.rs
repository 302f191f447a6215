//! Learning recurrent binary codes from a sample of residuals.
use nalgebra::{DMatrix, SymmetricEigen};

use super::encode::RecurrentCoder;
use super::model::{RecurrentModel, step_after};
use super::shape::RecurrentShape;
use crate::codes::axes::{AXES_DIM_MAX, principal_axes, products_of_columns};
use crate::codes::frame::{Centre, Rotated};
use crate::codes::planes::STEP;
use crate::codes::rotation::{BatchMatrix, DenseRotation, Rotation, RotationScratch};
use crate::codes::rounding::nearest_whole;
use crate::codes::sample::measured_rows;
use crate::codes::sums::squared_length;

/// Rounds of rotation, at most. One takes time with the cube of the dimension.
const ROUNDS_MAX: usize = 10;
/// What all rounds may take: a decomposition of a matrix of n rows takes `n^3`.
const ROUNDS_WORK: usize = 2_000_000_000;
/// Share of the rotation before that stays in the next, so that directions in which the sample does not vary keep one.
const KEPT: f64 = 1e-3;
/// Most bits of a trained code, as a multiple of the dimensions.
const EXPANSION_MAX: usize = 4;

/// The most bits of a code that is trained for vectors of `dim` elements.
pub(in crate::codes) fn trained_bits_max(dim: usize) -> usize {
    (EXPANSION_MAX * dim.next_multiple_of(32)).min(EXPANSION_MAX * AXES_DIM_MAX)
}

impl RecurrentModel {
    /// Trains by alternating between codes and the rotation that comes nearest to them (Gong and Lazebnik, "Iterative quantization", CVPR
    /// 2011). Of `n` dimensions and fewer bits, the strongest `M` axes are rotated; with more bits than dimensions `W` has orthonormal columns.
    /// All `W_t` are that matrix, and all `R_t` its transpose times the step of a quantiser of `U` bits.
    pub(in crate::codes) fn train(
        shape: RecurrentShape,
        mean: Vec<f32>,
        residuals: &[f32],
        seed: u64,
    ) -> RecurrentModel {
        let dim = mean.len();
        let RecurrentShape { bits, codes, is_symmetric } = shape;
        let sample = ItqSample::of(residuals, dim, bits);
        let (rotation, scale) = sample.rotation(shape, seed);
        let rows = sample.unreduced(&rotation);
        let back: Vec<f64> =
            (0..dim).flat_map(|column| rows.iter().skip(column).step_by(dim).map(|x| x * scale)).collect();
        let projection = Rotation::Dense(DenseRotation::scaled(&rows, dim));
        let reconstruction = Rotation::Dense(DenseRotation::scaled(&back, bits));
        let mut model = RecurrentModel {
            dim,
            layout: RecurrentModel::layout_of(bits, codes),
            is_symmetric,
            centre: Centre::Head,
            unit_length: true,
            energy: 0.0,
            mean,
            projections: vec![projection; codes],
            reconstructions: vec![reconstruction; codes - 1],
        };
        model.measure(residuals);
        model
    }

    /// Codes a sample to learn what codes are like.
    pub(super) fn measure(&mut self, residuals: &[f32]) {
        let rows = measured_rows(residuals, self.dim);
        let squared: Vec<f64> = rows.chunks_exact(self.dim).map(squared_length).collect();
        let (mut rotated, centre) = (Vec::new(), vec![0.0; self.bits()]);
        self.frame().batch_rotation().apply(&rows, &mut rotated);
        let of = Rotated { residuals: &rows, rows: &rotated, centre: &centre, squared: &squared };
        self.energy = RecurrentCoder::new(self).energy(&of);
    }
}

/// Residuals of length 1, in the dimensions that are rotated.
struct ItqSample {
    dim: usize,
    /// Dimensions that are rotated: the fewer of bits and elements.
    reduced: usize,
    /// Axes of these as rows, where they are fewer than the elements.
    axes: Option<Vec<f32>>,
    /// Back to back.
    rows: Vec<f32>,
}

impl ItqSample {
    fn of(residuals: &[f32], dim: usize, bits: usize) -> ItqSample {
        let mut rows = Vec::with_capacity(residuals.len());
        for row in residuals.chunks_exact(dim) {
            let length = squared_length(row).sqrt();
            let scale = if length > 0.0 { (1.0 / length).min(f64::from(f32::MAX)) as f32 } else { 0.0 }; // CAST: rounds
            rows.extend(row.iter().map(|x| x * scale));
        }
        if bits >= dim {
            return ItqSample { dim, reduced: dim, axes: None, rows };
        }
        let axes = principal_axes(dim, &rows).0;
        let axes: Vec<f32> =
            (0..bits).flat_map(|row| axes.row(row).iter().map(|&x| x as f32).collect::<Vec<f32>>()).collect(); // CAST: rounds
        let mut reduced = Vec::new();
        BatchMatrix::new(&axes, dim).apply(&rows, &mut reduced);
        ItqSample { dim, reduced: bits, axes: Some(axes), rows: reduced }
    }

    /// A matrix from the reduced dimensions to the bits, row by row, and what `v` of a code is multiplied with to come back.
    fn rotation(&self, shape: RecurrentShape, seed: u64) -> (Vec<f32>, f64) {
        let (bits, reduced) = (shape.bits, self.reduced);
        let mut rotation = random_columns(bits, reduced, seed);
        // Numbers of one code have one step at any scale.
        let variance = squared_length(&self.rows) / (self.rows.len() / reduced * bits).max(1) as f64; // CAST: exact
        let scale = f64::from(STEP[shape.codes]) * variance.sqrt() / f64::from(step_after(shape.codes));
        let rounds = (ROUNDS_WORK / (reduced * reduced * reduced)).clamp(1, ROUNDS_MAX);
        let mut projected = Vec::new();
        for _ in 0..rounds {
            BatchMatrix::new(&rotation, reduced).apply(&self.rows, &mut projected);
            quantise(&mut projected, shape.codes, scale);
            let products = products_of_columns((&projected, bits), (&self.rows, reduced));
            let Some(next) = nearest_rotation(&products, &rotation, reduced) else { break };
            rotation = next;
        }
        (rotation, scale)
    }

    /// The matrix from all elements.
    fn unreduced(&self, rotation: &[f32]) -> Vec<f64> {
        let wide = |values: &[f32]| values.iter().map(|&x| f64::from(x)).collect::<Vec<f64>>();
        let Some(axes) = &self.axes else { return wide(rotation) };
        let rotation =
            DMatrix::from_row_iterator(rotation.len() / self.reduced, self.reduced, wide(rotation));
        let axes = DMatrix::from_row_iterator(self.reduced, self.dim, wide(axes));
        // Columns of the transpose: rows.
        (rotation * axes).transpose().iter().copied().collect()
    }
}

/// The nearest values of codes whose signs are those of numbers in steps of `scale`.
fn quantise(projected: &mut [f32], codes: usize, scale: f64) {
    let step = scale * f64::from(step_after(codes));
    // CAST: rounds
    let inverse = if step > 0.0 { ((1.0 / step) as f32).min(f32::MAX) } else { 0.0 };
    let middle = f32::from((1_u16 << codes) - 1) / 2.0;
    for x in projected {
        let level = nearest_whole((*x * inverse + middle).max(0.0).min(2.0 * middle));
        *x = level - middle;
    }
}

/// Random orthonormal columns: `rows x columns`, row by row.
fn random_columns(rows: usize, columns: usize, seed: u64) -> Vec<f32> {
    let mixing = Rotation::hadamard(rows, seed);
    let mut matrix = vec![0.0; rows * columns];
    let (mut unit, mut mixed) = (vec![0.0; columns], vec![0.0; rows]);
    for column in 0..columns {
        unit[column] = 1.0;
        mixing.apply(&unit, columns, &mut RotationScratch::default(), &mut mixed);
        mixed.iter().enumerate().for_each(|(row, &x)| matrix[row * columns + column] = x);
        unit[column] = 0.0;
    }
    matrix
}

/// The matrix of orthonormal columns whose products with `products`, row by row, are largest. None where these are no numbers.
fn nearest_rotation(products: &[f64], before: &[f32], columns: usize) -> Option<Vec<f32>> {
    let rows = products.len() / columns;
    let wanted = DMatrix::from_row_iterator(rows, columns, products.iter().copied());
    let before = DMatrix::from_row_iterator(rows, columns, before.iter().map(|&x| f64::from(x)));
    let length = wanted.norm();
    if !(length.is_finite() && length > 0.0) {
        return None;
    }
    let wanted = wanted / length + before * (KEPT / (columns as f64).sqrt()); // CAST: exact
    let square = wanted.transpose() * &wanted;
    let eigen = SymmetricEigen::new(0.5 * (&square + square.transpose()));
    if !eigen.eigenvalues.iter().all(|&x| x.is_finite() && x > 0.0) {
        return None;
    }
    let inverse = eigen.eigenvalues.map(|x| 1.0 / x.sqrt());
    let root = &eigen.eigenvectors * DMatrix::from_diagonal(&inverse) * eigen.eigenvectors.transpose();
    // Columns of the transpose: rows. CAST: rounds
    Some((wanted * root).transpose().iter().map(|&x| x as f32).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn product(matrix: &[f32], columns: usize, a: usize, b: usize) -> f32 {
        matrix.chunks_exact(columns).map(|row| row[a] * row[b]).sum()
    }

    #[test]
    fn rotations_have_orthonormal_columns_and_come_nearer_to_their_codes() {
        let rows: Vec<f32> =
            (0..600 * 20).map(|i| ((i * 7919 % 1009) as f32 - 504.0) / (1.0 + (i % 20) as f32)).collect();
        for (bits, columns) in [(32, 20), (64, 20)] {
            let sample = ItqSample::of(&rows, 20, bits);
            let shape = RecurrentShape { bits, codes: 2, is_symmetric: false };
            let lost = |rotation: &[f32], scale: f64| {
                let mut projected = Vec::new();
                BatchMatrix::new(rotation, columns).apply(&sample.rows, &mut projected);
                let mut coded = projected.clone();
                quantise(&mut coded, 2, scale);
                let step = scale as f32;
                projected.iter().zip(&coded).map(|(x, v)| (x - step * v).powi(2)).sum::<f32>()
            };
            let (learned, scale) = sample.rotation(shape, 1);
            for (a, b) in [(0, 0), (0, 1), (5, 19), (19, 19)] {
                let expected = if a == b { 1.0 } else { 0.0 };
                assert!((product(&learned, columns, a, b) - expected).abs() < 1e-4, "{bits}: {a} {b}");
            }
            let random = random_columns(bits, columns, 1);
            assert!(lost(&learned, scale) < 0.98 * lost(&random, scale), "{bits}");
        }
    }
}
