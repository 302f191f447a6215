//! From rotated residuals to bit planes.
use std::ops::Range;

use super::layout::PlaneSegment;
use super::model::{PlaneModel, SegmentModel};
use crate::codes::factors::Factors;
use crate::codes::frame::Rotated;
use crate::codes::rounding::nearest_whole;
use crate::codes::sums::squared_length;
use crate::kernels::scan::BLOCK_VECTORS;

/// Scales tried for a vector's code, relative to what its length suggests. Decision 002.
const SCALES: [f32; 11] = [0.72, 0.77, 0.82, 0.88, 0.94, 1.0, 1.07, 1.15, 1.23, 1.31, 1.40];
/// Partial sums kept side by side, in an order that no instruction set changes.
const LANES: usize = 8;

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

/// Codes rotated residuals in bit planes.
pub(in crate::codes) struct PlaneCoder<'a> {
    model: &'a PlaneModel,
    code: Vec<u8>,
}

impl<'a> PlaneCoder<'a> {
    pub(in crate::codes) fn new(model: &'a PlaneModel) -> PlaneCoder<'a> {
        PlaneCoder { model, code: Vec::new() }
    }

    /// Codes residuals into blocks of zeros, and appends their factors.
    pub(in crate::codes) fn code(
        &mut self,
        residuals: &Rotated<'_>,
        rows: &mut [u8],
        factors: &mut Vec<Factors>,
    ) {
        let layout = &self.model.layout;
        let block_bytes = layout.block_bytes();
        let vectors = residuals.rows.chunks_exact(layout.dims()).zip(residuals.squared);
        for (at, (rotated, &squared)) in vectors.enumerate() {
            factors.push(self.code_vector(rotated, residuals.centre, squared));
            let block = &mut rows[at / BLOCK_VECTORS * block_bytes..][..block_bytes];
            layout.pack(&self.code, at % BLOCK_VECTORS, block);
        }
    }

    /// Codes some residuals and adds up what their codes are like.
    pub(super) fn observe(&mut self, residuals: &[f32]) -> Observed {
        let dims = self.model.layout.dims();
        let (mut rotated, zeros) = (Vec::new(), vec![0.0; dims]);
        self.model.frame().batch_rotation().apply(residuals, &mut rotated);
        let mut seen = Observed { lost: vec![0.0; self.model.segments.len()], ..Observed::default() };
        for (row, rotated) in residuals.chunks_exact(self.model.dim).zip(rotated.chunks_exact(dims)) {
            let squared = squared_length(row);
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
        let kept = squared_length(rotated);
        let expected: f64 = self.model.sum(|segment| f64::from(segment.spread));
        let unit = (kept / expected).sqrt() as f32; // CAST: rounds
        self.code.resize(rotated.len(), 0);
        if !(unit > 0.0 && unit.is_finite() && unit.recip().is_finite()) {
            self.code.fill(0);
            let lost = squared * f64::from(self.model.dropped_weight());
            return Factors { add: squared as f32, mul: 0.0, error: (2.0 * lost.sqrt()) as f32 }; // CAST: rounds
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
    fn parts(&self) -> impl Iterator<Item = (PlaneSegment, SegmentModel, Range<usize>)> {
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
    nearest_whole((steps + middle).max(0.0).min(2.0 * middle))
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
