//! From vectors to codes and factors.
use std::ops::Range;

use super::factors::{Factors, factor_block};
use super::model::{Centre, PlaneModel, SegmentModel};
use super::planes::Segment;
use super::rotation::BatchRotation;
use crate::kernels::scan::BLOCK_VECTORS;

/// Scales tried for a vector's code, relative to what its length suggests.
const SCALES: [f32; 11] = [0.72, 0.77, 0.82, 0.88, 0.94, 1.0, 1.07, 1.15, 1.23, 1.31, 1.40];
/// Partial sums kept side by side, in an order that no instruction set changes.
const LANES: usize = 8;

/// Codes in blocks of sixteen, the last filled up with zeros.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CodeBlocks {
    /// Rows of all blocks.
    pub rows: Vec<u8>,
    /// Factors of all blocks.
    pub factors: Vec<u8>,
}

/// Sums over some residuals.
#[derive(Debug, Default)]
pub(super) struct Observed {
    /// Squared lengths of codes, their values counted from the middle of their range.
    pub(super) energy: f64,
    /// Squared errors of the dimensions of each segment.
    pub(super) lost: Vec<f64>,
    /// Squared lengths of what is not coded.
    pub(super) dropped: f64,
}

/// Encodes the vectors of one list after the other.
pub struct Encoder<'a> {
    model: &'a PlaneModel,
    rotation: BatchRotation<'a>,
    rotated: Vec<f32>,
    code: Vec<u8>,
    factors: Vec<Factors>,
}

impl<'a> Encoder<'a> {
    /// An encoder that uses `model`.
    pub fn new(model: &'a PlaneModel) -> Encoder<'a> {
        let rotation = BatchRotation::new(&model.rotation, model.dim, model.layout.dims());
        Encoder { model, rotation, rotated: Vec::new(), code: Vec::new(), factors: Vec::new() }
    }

    /// The model it uses.
    pub fn model(&self) -> &'a PlaneModel {
        self.model
    }

    /// Encodes vectors lying back to back in head space, filed under `head`, into `out`.
    ///
    /// A row may have one element more than the model's vectors: that of lifted inner product, which no query
    /// has, and which therefore needs no code.
    pub fn encode(&mut self, rows: &[f32], head: &[f32], out: &mut CodeBlocks) {
        let (dim, dims) = (self.model.dim, self.model.layout.dims());
        let stride = head.len();
        assert!(stride == dim || stride == dim + 1);
        let centre = match self.model.centre {
            Centre::Head => &head[..dim],
            Centre::Mean => &self.model.mean,
        };
        let count = rows.len() / stride;
        let mut residuals = Vec::with_capacity((count + 1) * dim);
        for row in rows.chunks_exact(stride) {
            residuals.extend(row[..dim].iter().zip(centre).map(|(x, c)| x - c));
        }
        // The centre, around the mean, is rotated like a vector.
        residuals.extend(centre.iter().zip(&self.model.mean).map(|(c, m)| c - m));
        let mut rotated = std::mem::take(&mut self.rotated);
        self.rotation.apply(&residuals, &mut rotated);
        let (rotated_rows, rotated_centre) = rotated.split_at(count * dims);

        let block_bytes = self.model.layout.block_bytes();
        out.rows.clear();
        out.rows.resize(count.div_ceil(BLOCK_VECTORS) * block_bytes, 0);
        out.factors.clear();
        self.factors.clear();
        let vectors = rows.chunks_exact(stride).zip(residuals.chunks_exact(dim));
        for (at, ((row, residual), rotated)) in vectors.zip(rotated_rows.chunks_exact(dims)).enumerate() {
            let squared: f64 = residual.iter().map(|&x| f64::from(x) * f64::from(x)).sum();
            let mut factors = self.code_vector(rotated, rotated_centre, squared);
            if let (Some(&last), Some(&head_last)) = (row.get(dim), head.get(dim)) {
                // A query's last element is 0: |q - x|^2 counts that of x itself, and that of the head is in the
                // distance to the head already.
                factors.add =
                    (f64::from(factors.add) + f64::from(last).powi(2) - f64::from(head_last).powi(2)) as f32; // CAST: rounds
            }
            self.factors.push(factors);
            let block = &mut out.rows[at / BLOCK_VECTORS * block_bytes..][..block_bytes];
            self.model.layout.pack(&self.code, at % BLOCK_VECTORS, block);
        }
        for factors in self.factors.chunks(BLOCK_VECTORS) {
            out.factors.extend_from_slice(&factor_block(factors));
        }
        self.rotated = rotated;
    }

    /// Codes some residuals and adds up what their codes are like.
    pub(super) fn observe(&mut self, residuals: &[f32]) -> Observed {
        let dims = self.model.layout.dims();
        let (mut rotated, zeros) = (Vec::new(), vec![0.0; dims]);
        self.rotation.apply(residuals, &mut rotated);
        let mut seen = Observed { lost: vec![0.0; self.model.segments.len()], ..Observed::default() };
        for (row, rotated) in residuals.chunks_exact(self.model.dim).zip(rotated.chunks_exact(dims)) {
            let squared = row.iter().map(|&x| f64::from(x) * f64::from(x)).sum();
            let alpha = -0.5 * f64::from(self.code_vector(rotated, &zeros, squared).mul);
            let mut kept = 0.0;
            for ((segment, model, at), lost) in self.model.parts().zip(&mut seen.lost) {
                for (&code, &element) in self.code[at.clone()].iter().zip(&rotated[at]) {
                    let (value, element) =
                        (f64::from(code) - f64::from(segment.middle()), f64::from(element));
                    seen.energy += value * value;
                    *lost += (alpha * f64::from(model.step) * value - element).powi(2);
                    kept += element * element;
                }
            }
            seen.dropped += (squared - kept).max(0.0);
        }
        seen
    }

    /// Codes one rotated residual of squared length `squared`, into `self.code`.
    fn code_vector(&mut self, rotated: &[f32], centre: &[f32], squared: f64) -> Factors {
        let kept: f64 = rotated.iter().map(|&x| f64::from(x) * f64::from(x)).sum();
        let expected: f64 = self.model.sum(|segment| f64::from(segment.spread));
        let unit = (kept / expected).sqrt() as f32; // CAST: rounds
        self.code.resize(rotated.len(), 0);
        if !(unit > 0.0 && unit.is_finite() && unit.recip().is_finite()) {
            self.code.fill(0);
            return Factors { add: squared as f32, mul: 0.0, error: 0.0 }; // CAST: rounds
        }
        let one_bit = self.model.layout.segments().iter().all(|segment| segment.bits == 1);
        let mut best = (f32::INFINITY, unit);
        if !one_bit {
            let squares = self.weighted_squares(rotated);
            for scale in SCALES {
                let sums = self.sums(rotated, unit * scale);
                let loss = sums.loss(kept, squares);
                if loss < best.0 {
                    best = (loss, unit * scale);
                }
            }
        }
        self.quantise(rotated, centre, best.1, kept, squared)
    }

    /// Sums for choosing a scale.
    fn sums(&self, rotated: &[f32], unit: f32) -> Sums {
        let mut sums = Sums::default();
        for (segment, model, at) in self.model.parts() {
            let (middle, inverse) = (segment.middle(), 1.0 / (unit * model.step));
            let (mut product, mut length) = ([0.0_f32; LANES], [0.0_f32; LANES]);
            for values in rotated[at].as_chunks::<LANES>().0 {
                for lane in 0..LANES {
                    let value = level(values[lane] * inverse, middle) - middle;
                    product[lane] += value * values[lane];
                    length[lane] += value * value;
                }
            }
            let (product, length) = (product.iter().sum::<f32>(), length.iter().sum::<f32>());
            sums.product += model.step * product;
            sums.weighted_product += model.weight * model.step * product;
            sums.weighted_length += model.weight * model.step * model.step * length;
        }
        sums
    }

    fn weighted_squares(&self, rotated: &[f32]) -> f32 {
        let squares = |at: Range<usize>| rotated[at].iter().map(|x| x * x).sum::<f32>();
        self.model.parts().map(|(_, model, at)| model.weight * squares(at)).sum()
    }

    /// The code at one scale, and its factors.
    fn quantise(&mut self, rotated: &[f32], centre: &[f32], unit: f32, kept: f64, squared: f64) -> Factors {
        let (mut with_row, mut with_centre) = (0.0_f64, 0.0_f64);
        for (segment, model, at) in self.model.parts() {
            let (middle, inverse) = (segment.middle(), 1.0 / (unit * model.step));
            let (mut product, mut offset) = (0.0_f64, 0.0_f64);
            let elements = rotated[at.clone()].iter().zip(&centre[at.clone()]);
            for (code, (&element, &of_centre)) in self.code[at].iter_mut().zip(elements) {
                let value = level(element * inverse, middle);
                *code = value as u8; // CAST: a whole number from 0 to 255
                product += f64::from(value - middle) * f64::from(element);
                offset += f64::from(value - middle) * f64::from(of_centre);
            }
            with_row += f64::from(model.step) * product;
            with_centre += f64::from(model.step) * offset;
        }
        // What is not coded is left out of the scale that makes estimates unbiased.
        let alpha = if with_row > 0.0 { kept / with_row } else { 0.0 };
        let mut lost = 0.0_f64;
        for (segment, model, at) in self.model.parts() {
            let (scale, middle) = (alpha * f64::from(model.step), f64::from(segment.middle()));
            let of_segment: f64 = (self.code[at.clone()].iter().zip(&rotated[at]))
                .map(|(&code, &element)| (scale * (f64::from(code) - middle) - f64::from(element)).powi(2))
                .sum();
            lost += f64::from(model.weight) * of_segment;
        }
        lost += (squared - kept).max(0.0) * f64::from(self.model.dropped_weight());
        let dims = rotated.len() as f64; // CAST: exact
        // The error is orthogonal to the residual, so it has one dimension less.
        lost *= dims / (dims - 1.0).max(1.0);
        // CAST: rounds, here and below
        Factors {
            add: (squared + 2.0 * alpha * with_centre) as f32,
            mul: (-2.0 * alpha) as f32,
            error: (2.0 * lost.sqrt()) as f32,
        }
    }
}

impl PlaneModel {
    /// Segments, what their dimensions have in common, and where those are.
    fn parts(&self) -> impl Iterator<Item = (Segment, SegmentModel, Range<usize>)> {
        self.layout.segments().iter().zip(&self.segments).scan(0, |end, (&segment, &model)| {
            let start = *end;
            *end += segment.dims;
            Some((segment, model, start..*end))
        })
    }

    /// A sum over dimensions of something that is the same for those of a segment.
    fn sum(&self, of: impl Fn(&SegmentModel) -> f64) -> f64 {
        self.layout.segments().iter().zip(&self.segments).map(|(s, m)| s.dims as f64 * of(m)).sum()
    }

    /// Weight of a dimension that no segment covers.
    fn dropped_weight(&self) -> f32 {
        let left = self.dim.saturating_sub(self.layout.dims());
        let covered = self.sum(|segment| f64::from(segment.weight));
        if left == 0 { 0.0 } else { ((1.0 - covered).max(0.0) / left as f64) as f32 } // CAST: rounds
    }
}

/// The code of a value in steps, as a whole number from 0 to twice the middle.
#[inline(always)]
fn level(steps: f32, middle: f32) -> f32 {
    // Adding and taking away 2^23 rounds to a whole number, in instructions that every machine does many of at once.
    const ROUNDING: f32 = 8_388_608.0;
    let shifted = (steps + middle).max(0.0).min(2.0 * middle);
    (shifted + ROUNDING) - ROUNDING
}

#[derive(Debug, Default)]
struct Sums {
    product: f32,
    weighted_product: f32,
    weighted_length: f32,
}

impl Sums {
    /// The weighted squared error of the unbiased code.
    fn loss(&self, kept: f64, weighted_squares: f32) -> f32 {
        if self.product <= 0.0 {
            return f32::INFINITY;
        }
        let alpha = kept as f32 / self.product; // CAST: rounds
        alpha * alpha * self.weighted_length - 2.0 * alpha * self.weighted_product + weighted_squares
    }
}
