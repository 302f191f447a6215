//! From rotated residuals to product codes.
use super::model::ProductModel;
use super::nearest::NearestCentroid;
use crate::codes::factors::Factors;
use crate::codes::frame::Rotated;
use crate::codes::sums::squared_length;
use crate::kernels::scan::BLOCK_VECTORS;

/// Least cosine between a residual and its code. Below it, the scale that makes estimates unbiased would make the error
/// so large that the vector is better taken for its head.
const COSINE_MIN: f64 = 0.1;

/// Largest gain of a dimension.
const GAIN_MAX: f64 = 3.0;

/// Codes rotated residuals with the centroids of a model.
pub(in crate::codes) struct ProductCoder<'a> {
    model: &'a ProductModel,
    nearest: Vec<NearestCentroid>,
    /// A power of two by which residuals and centroids are multiplied when they are compared, so that squares stay within
    /// the range of f32.
    range: f32,
    stretch: Vec<f32>,
    /// Codes of some residuals, sub-quantiser by sub-quantiser.
    codes: Vec<u8>,
}

impl<'a> ProductCoder<'a> {
    pub(in crate::codes) fn new(model: &'a ProductModel) -> ProductCoder<'a> {
        let range = range_of(&model.centroids);
        let scaled: Vec<f32> = model.centroids.iter().map(|x| x * range).collect();
        let width = model.width();
        let nearest = scaled.chunks_exact(model.entries() * width).map(|of| NearestCentroid::new(of, width));
        ProductCoder { model, nearest: nearest.collect(), range, stretch: Vec::new(), codes: Vec::new() }
    }

    /// Codes residuals into blocks of zeros, and appends their factors.
    pub(in crate::codes) fn code(
        &mut self,
        residuals: &Rotated<'_>,
        rows: &mut [u8],
        factors: &mut Vec<Factors>,
    ) {
        self.find(residuals.rows);
        let count = residuals.squared.len();
        let vectors = residuals.rows.chunks_exact(self.model.dims()).zip(residuals.squared);
        for (at, (rotated, &squared)) in vectors.enumerate() {
            let Some((alpha, offset)) = self.scale(at, count, rotated, residuals.centre) else {
                // What equals its head is exact; what no centroid resembles is taken for it.
                let lost = self.weighted(rotated.iter().map(|&x| f64::from(x)));
                factors.push(Factors {
                    add: squared as f32, // CAST: rounds, here and below
                    mul: 0.0,
                    error: (2.0 * lost.sqrt()) as f32,
                });
                continue;
            };
            let values = self.values(at, count);
            let errors = values.zip(rotated).map(|(u, &x)| alpha * f64::from(u) - f64::from(x));
            // The error is orthogonal to the residual, so it has one dimension less.
            let dims = self.model.dim as f64; // CAST: exact
            let lost = self.weighted(errors) * dims / (dims - 1.0).max(1.0);
            factors.push(Factors {
                add: (squared + 2.0 * alpha * offset) as f32,
                mul: (-2.0 * alpha) as f32,
                error: (2.0 * lost.sqrt()) as f32,
            });
        }
        let block_bytes = self.model.block_bytes();
        for (quantiser, codes) in self.codes.chunks_exact(count.max(1)).enumerate() {
            for (at, &code) in codes.iter().enumerate() {
                let block = &mut rows[at / BLOCK_VECTORS * block_bytes..][..block_bytes];
                match self.model.bits {
                    4 => {
                        block[quantiser / 2 * BLOCK_VECTORS + at % BLOCK_VECTORS] |=
                            code << (quantiser % 2 * 4)
                    }
                    _ => block[quantiser * BLOCK_VECTORS + at % BLOCK_VECTORS] = code,
                }
            }
        }
    }

    /// Gains that make the products of codes and residuals as large, dimension by dimension, as those of residuals with
    /// themselves. Centroids fall short of weak dimensions, and what falls short in some and not in others biases the
    /// estimates of true neighbours. More than [`GAIN_MAX`] would cost more in noise than it saves in bias.
    pub(super) fn gain(&mut self, rotated: &[f32]) -> Vec<f32> {
        let dims = self.model.dims();
        self.find(rotated);
        let count = rotated.len() / dims;
        let mut sums = vec![(0.0_f64, 0.0_f64); dims];
        for (at, rotated) in rotated.chunks_exact(dims).enumerate() {
            let scale = f64::from(self.model.scale_of(rotated));
            for ((squares, products), (u, &x)) in sums.iter_mut().zip(self.values(at, count).zip(rotated)) {
                let x = scale * f64::from(x);
                *squares += x * x;
                *products += f64::from(u) * x;
            }
        }
        let of_dim = |(squares, products): (f64, f64)| match squares {
            0.0 => 1.0,
            _ if products * GAIN_MAX <= squares => GAIN_MAX as f32, // CAST: exact
            _ => (squares / products) as f32,                       // CAST: rounds
        };
        sums.into_iter().map(of_dim).collect()
    }

    /// Squared errors of each dimension, summed up over some residuals.
    pub(super) fn observe(&mut self, rotated: &[f32]) -> Vec<f64> {
        let dims = self.model.dims();
        self.find(rotated);
        let (count, centre) = (rotated.len() / dims, vec![0.0; dims]);
        let mut lost = vec![0.0; dims];
        for (at, rotated) in rotated.chunks_exact(dims).enumerate() {
            let alpha = self.scale(at, count, rotated, &centre).map_or(0.0, |(alpha, _)| alpha);
            for ((lost, u), &x) in lost.iter_mut().zip(self.values(at, count)).zip(rotated) {
                *lost += (alpha * f64::from(u) - f64::from(x)).powi(2);
            }
        }
        lost
    }

    /// Finds the nearest centroids of residuals, into `self.codes`.
    fn find(&mut self, rotated: &[f32]) {
        let (dims, width) = (self.model.dims(), self.model.width());
        self.codes.clear();
        let scales: Vec<f32> =
            rotated.chunks_exact(dims).map(|row| self.range * self.model.scale_of(row)).collect();
        for (quantiser, nearest) in self.nearest.iter().enumerate() {
            self.stretch.clear();
            for (row, scale) in rotated.chunks_exact(dims).zip(&scales) {
                self.stretch.extend(row[quantiser * width..][..width].iter().map(|x| x * scale));
            }
            nearest.each(&NearestCentroid::pack(&self.stretch, width), |code, _| self.codes.push(code));
        }
    }

    /// Values of the code of residual `at` of `count`, dimension by dimension.
    fn values(&self, at: usize, count: usize) -> impl Iterator<Item = f32> {
        let (width, entries) = (self.model.width(), self.model.entries());
        let codes = self.codes.iter().skip(at).step_by(count);
        codes.enumerate().flat_map(move |(quantiser, &code)| {
            let centroid = quantiser * entries + usize::from(code);
            let gain = &self.model.gain[quantiser * width..][..width];
            self.model.centroids[centroid * width..][..width].iter().zip(gain).map(|(x, gain)| x * gain)
        })
    }

    /// The scale that makes the estimates of residual `at` unbiased, and the product of its code with the centre; none
    /// where there is no such scale.
    fn scale(&self, at: usize, count: usize, rotated: &[f32], centre: &[f32]) -> Option<(f64, f64)> {
        let kept = squared_length(rotated);
        let (mut with_row, mut with_centre, mut length) = (0.0, 0.0, 0.0);
        for ((u, &x), &c) in self.values(at, count).zip(rotated).zip(centre) {
            let u = f64::from(u);
            with_row += u * f64::from(x);
            with_centre += u * f64::from(c);
            length += u * u;
        }
        let alpha = kept / with_row;
        let usable = with_row > COSINE_MIN * (length * kept).sqrt();
        // CAST: whether it is still a number as it will be stored
        (usable && alpha > 0.0 && (2.0 * alpha as f32).is_finite()).then_some((alpha, with_centre))
    }

    fn weighted(&self, errors: impl Iterator<Item = f64>) -> f64 {
        errors.zip(&self.model.weight).map(|(error, &weight)| f64::from(weight) * error * error).sum()
    }
}

/// One over the power of two that the largest of some values has; 1 for zeros. Taken from the bits, since logarithms differ
/// from one C library to the next.
fn range_of(values: &[f32]) -> f32 {
    const BIAS: u32 = 127;
    let largest = values.iter().fold(0.0_f32, |m, x| m.max(x.abs()));
    let exponent = (largest.to_bits() >> (f32::MANTISSA_DIGITS - 1)).clamp(1, 2 * BIAS - 1);
    if largest > 0.0 { f32::from_bits((2 * BIAS - exponent) << (f32::MANTISSA_DIGITS - 1)) } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_comes_to_lie_between_one_and_two() {
        assert_eq!(range_of(&[0.0, -0.0]), 1.0);
        assert_eq!(range_of(&[0.3, -1.0, 0.9]), 1.0);
        assert_eq!(range_of(&[1.0_f32.next_down()]), 2.0);
        // The logarithm of this one rounds up to a whole number.
        assert_eq!(range_of(&[1_048_576.0, -1_048_576.0]), f32::exp2(-20.0));
        assert_eq!(range_of(&[1_048_576.0_f32.next_down()]), f32::exp2(-19.0));
        assert_eq!(range_of(&[f32::MAX]), f32::exp2(-126.0));
        assert_eq!(range_of(&[f32::MIN_POSITIVE]), f32::exp2(126.0));
        assert_eq!(range_of(&[1e-45]), f32::exp2(126.0));
    }
}
