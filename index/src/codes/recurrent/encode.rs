//! From vectors to recurrent binary codes.
use super::model::{RecurrentModel, step_after};
use crate::codes::axes::transposed;
use crate::codes::factors::Factors;
use crate::codes::frame::Rotated;
use crate::codes::rotation::{BatchMatrix, BatchRotation, Rotation};
use crate::codes::sums::squared_length;
use crate::kernels::scan::BLOCK_VECTORS;

/// Least cosine between `W_0 f` and its code. Below it, the scale that makes estimates unbiased would make the error so large that the
/// vector is better taken for what it is measured from.
const COSINE_MIN: f64 = 0.1;

/// Codes vectors with the matrices of a model.
pub(in crate::codes) struct RecurrentCoder<'a> {
    model: &'a RecurrentModel,
    /// `W_1` on: the first was applied before.
    projections: Vec<BatchRotation<'a>>,
    reconstructions: Vec<BatchRotation<'a>>,
    /// The transpose of `W_0`.
    back: BatchMatrix,
    /// Numbers of as many bits as there are codes, vector by vector.
    levels: Vec<u8>,
    /// `v`, vector by vector.
    values: Vec<f32>,
    rebuilt: Vec<f32>,
    left: Vec<f32>,
    projected: Vec<f32>,
}

impl<'a> RecurrentCoder<'a> {
    pub(in crate::codes) fn new(model: &'a RecurrentModel) -> RecurrentCoder<'a> {
        let (dim, bits) = (model.dim, model.bits());
        let Rotation::Dense(first) = &model.projections[0] else {
            unreachable!("recurrent codes have matrices")
        };
        let batch = |from, to| move |matrix| BatchRotation::new(matrix, from, to);
        RecurrentCoder {
            model,
            projections: model.projections.iter().skip(1).map(batch(dim, bits)).collect(),
            reconstructions: model.reconstructions.iter().map(batch(bits, dim)).collect(),
            back: BatchMatrix::new(&transposed(&first.rows(), dim), bits),
            levels: Vec::new(),
            values: Vec::new(),
            rebuilt: Vec::new(),
            left: Vec::new(),
            projected: Vec::new(),
        }
    }

    /// Codes vectors into blocks of zeros, and appends their factors.
    pub(in crate::codes) fn code(&mut self, of: &Rotated<'_>, rows: &mut [u8], factors: &mut Vec<Factors>) {
        self.find(of);
        self.back.apply(&self.values, &mut self.rebuilt);
        let (layout, bits, dim) = (self.model.layout(), self.model.bits(), self.model.dim);
        let block_bytes = layout.block_bytes();
        for (at, levels) in self.levels.chunks_exact(bits).enumerate() {
            factors.push(self.factors(of, at, dim));
            let block = &mut rows[at / BLOCK_VECTORS * block_bytes..][..block_bytes];
            layout.pack(levels, at % BLOCK_VECTORS, block);
        }
    }

    /// Mean squared length of the codes of some vectors, their numbers counted from the middle of their range.
    pub(super) fn energy(&mut self, of: &Rotated<'_>) -> f32 {
        self.find(of);
        let count = of.squared.len().max(1) as f64; // CAST: exact
        let step = f64::from(self.model.step());
        (squared_length(&self.values) / (step * step * count)) as f32 // CAST: rounds
    }

    /// Finds the codes, into `self.levels` and `self.values`.
    fn find(&mut self, of: &Rotated<'_>) {
        let dim = self.model.dim;
        self.levels.clear();
        self.levels.resize(of.rows.len(), 0);
        self.values.clear();
        self.values.resize(of.rows.len(), 0.0);
        append_bits(of.rows, 1, &mut self.levels, &mut self.values);
        for (at, (reconstruction, projection)) in
            self.reconstructions.iter().zip(&self.projections).enumerate()
        {
            reconstruction.apply(&self.values, &mut self.rebuilt);
            self.left.clear();
            let vectors = of.residuals.chunks_exact(dim).zip(self.rebuilt.chunks_exact(dim));
            for ((row, rebuilt), &squared) in vectors.zip(of.squared) {
                let scale = self.model.scale_of(squared);
                self.left.extend(row.iter().zip(rebuilt).map(|(x, y)| x - scale * y));
            }
            projection.apply(&self.left, &mut self.projected);
            append_bits(&self.projected, at + 2, &mut self.levels, &mut self.values);
        }
    }

    /// The factors of vector `at`, whose code was found and taken back by the transpose of `W_0`.
    fn factors(&self, of: &Rotated<'_>, at: usize, dim: usize) -> Factors {
        let (bits, squared) = (self.model.bits(), of.squared[at]);
        let (row, rebuilt) = (&of.residuals[at * dim..][..dim], &self.rebuilt[at * dim..][..dim]);
        let (rotated, values) = (&of.rows[at * bits..][..bits], &self.values[at * bits..][..bits]);
        let (mut with_row, mut with_centre) = (0.0_f64, 0.0_f64);
        for ((&v, &x), &c) in values.iter().zip(rotated).zip(of.centre) {
            with_row += f64::from(v) * f64::from(x);
            with_centre += f64::from(v) * f64::from(c);
        }
        let alpha = squared / with_row;
        let usable = with_row > COSINE_MIN * (squared_length(values) * squared_length(rotated)).sqrt();
        let mul = -2.0 * alpha * f64::from(self.model.step());
        // What codes lose lies in the dimensions that they have. It is orthogonal to the vector, so that there is one less.
        let dims = bits.min(dim) as f64; // CAST: exact
        // CAST: whether it is still a number as it will be stored, and rounds, here and below
        if !(usable && alpha > 0.0 && (2.0 * alpha as f32).is_finite() && (mul as f32).is_finite()) {
            let error = 2.0 * (squared / dims).sqrt();
            return Factors { add: squared as f32, mul: 0.0, error: error as f32 };
        }
        let lost: f64 =
            row.iter().zip(rebuilt).map(|(&x, &y)| (alpha * f64::from(y) - f64::from(x)).powi(2)).sum();
        Factors {
            add: (squared + 2.0 * alpha * with_centre) as f32,
            mul: mul as f32,
            error: (2.0 * (lost / (dims - 1.0).max(1.0)).sqrt()) as f32,
        }
    }
}

impl RecurrentModel {
    /// What reconstructions of a vector of squared length `squared` are multiplied with.
    pub(super) fn scale_of(&self, squared: f64) -> f32 {
        if self.unit_length { squared.sqrt() as f32 } else { 1.0 } // CAST: rounds
    }
}

/// Appends the signs of `projected` to numbers that so far have one bit less than `codes`, and finds their `v`.
pub(super) fn append_bits(projected: &[f32], codes: usize, levels: &mut [u8], values: &mut [f32]) {
    let (step, middle) = (step_after(codes), f32::from((1_u16 << codes) - 1) / 2.0);
    for ((level, value), &x) in levels.iter_mut().zip(values).zip(projected) {
        *level = *level << 1 | u8::from(x >= 0.0);
        *value = (f32::from(*level) - middle) * step;
    }
}
