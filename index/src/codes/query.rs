//! A query made ready for the scan of codes.
use super::CodeModel;
use super::dense::RotationScratch;
use super::family::{Centre, Frame};
use super::model::{PlaneModel, QueryForm};
use super::products::ProductModel;
use super::rounding::nearest_whole;
use crate::kernels::lookup::LookupTables;
use crate::kernels::scan::{FACTOR_BYTES, ScanTerms, error_of, maxima, mul_of, steps};

/// Largest value of a query's bytes: one less than the range allows, so that its sign can be turned.
const BYTE_MAX: f32 = 127.0;

/// A query's values, or tables of its products with centroids, as bytes. Serves every list; its buffers are used again by
/// the queries that follow.
#[derive(Debug, Default)]
pub struct CodeQuery {
    table: Vec<i8>,
    lookups: LookupTables,
    products: Vec<f32>,
    values: Vec<i8>,
    centred: Vec<f32>,
    rotated: Vec<f32>,
    rotation: RotationScratch,
    offset: f32,
    scale: f32,
    /// Variance that rounding the query adds, over the square of a vector's `mul`.
    rounding: f64,
    /// No product of a code and the query is larger, signs apart.
    product_max: f32,
    /// What the stated errors of codes are multiplied with, since this query is spread over the dimensions in its own
    /// way.
    stretch: f32,
    /// Squared distance to the mean, where residuals are measured from it.
    mean_distance: Option<f32>,
}

impl CodeQuery {
    /// Takes in a query and the head nearest to it: their elements in head space, without that of lifted inner
    /// product.
    pub fn prepare(&mut self, model: &CodeModel, row: &[f32], nearest: &[f32]) {
        let frame = model.frame();
        assert_eq!((row.len(), nearest.len()), (frame.dim, frame.dim));
        let stretched = match model {
            CodeModel::Planes(model) => model.segments.len() > 1 || model.dropped > 0.0,
            CodeModel::Products(_) => true,
        };
        let centres = [frame.mean, nearest];
        self.rotate(&frame, row, if stretched { &centres } else { &centres[..1] });
        let (_, around) = self.rotated.split_at(frame.dims);
        self.stretch = match model {
            _ if !stretched => 1.0,
            CodeModel::Planes(model) => stretch(model, &self.centred[frame.dim..], around),
            CodeModel::Products(model) => stretch_of_products(model, around),
        };
        self.centred.truncate(frame.dim);
        self.rotated.truncate(frame.dims);
        self.mean_distance = match frame.centre {
            Centre::Head => None,
            Centre::Mean => Some(self.centred.iter().map(|x| x * x).sum()),
        };
        match model {
            CodeModel::Planes(model) => self.prepare_planes(model),
            CodeModel::Products(model) => {
                let terms = model.tables(&self.rotated, &mut self.products, &mut self.lookups);
                (self.offset, self.scale, self.rounding) = (terms.offset, terms.scale, terms.variance);
                self.product_max = terms.product_max;
            }
        }
    }

    /// Rotates the query as seen from each of the centres.
    fn rotate(&mut self, frame: &Frame<'_>, row: &[f32], centres: &[&[f32]]) {
        self.centred.clear();
        for centre in centres {
            self.centred.extend(row.iter().zip(*centre).map(|(x, c)| x - c));
        }
        self.rotated.clear();
        self.rotated.resize(centres.len() * frame.dims, 0.0);
        frame.rotation.apply(&self.centred, frame.dim, &mut self.rotation, &mut self.rotated);
    }

    fn prepare_planes(&mut self, model: &PlaneModel) {
        let mut rest = self.rotated.as_mut_slice();
        for (segment, of) in model.layout.segments().iter().zip(&model.segments) {
            let (values, after) = rest.split_at_mut(segment.dims);
            values.iter_mut().for_each(|x| *x *= of.step);
            rest = after;
        }
        self.values.clear();
        let variance = match model.query {
            QueryForm::Bytes => self.round_to_bytes(),
            QueryForm::Signs => self.round_to_signs(),
        };
        self.rounding = f64::from(variance * model.energy);
        (self.offset, self.product_max) = (0.0, 0.0);
        let mut rest = self.values.as_slice();
        for segment in model.layout.segments() {
            let (values, after) = rest.split_at(segment.dims);
            let sum: i32 = values.iter().map(|&q| i32::from(q)).sum();
            let sizes: i32 = values.iter().map(|&q| i32::from(q).abs()).sum();
            self.offset += segment.middle() * sum as f32; // CAST: exact below 2^24, here and below
            self.product_max += segment.middle() * sizes as f32 * self.scale;
            rest = after;
        }
        model.layout.table(&self.values, &mut self.table);
    }

    /// Rounds to bytes: the variance of one value's error.
    fn round_to_bytes(&mut self) -> f32 {
        let largest = self.rotated.iter().fold(0.0_f32, |m, x| m.max(x.abs()));
        self.scale = largest / BYTE_MAX;
        let inverse = if self.scale > 0.0 { 1.0 / self.scale } else { 0.0 };
        // CAST: within the range by the choice of scale; saturates for an inverse that overflowed.
        self.values.extend(self.rotated.iter().map(|x| nearest_whole(x * inverse) as i8));
        self.scale * self.scale / 12.0
    }

    /// Rounds to signs, scaled so that products with the query itself are kept: the variance of one value's error.
    fn round_to_signs(&mut self) -> f32 {
        let squared: f32 = self.rotated.iter().map(|x| x * x).sum();
        let sum: f32 = self.rotated.iter().map(|x| x.abs()).sum();
        self.scale = if sum > 0.0 { squared / sum } else { 0.0 };
        self.values.extend(self.rotated.iter().map(|x| if *x < 0.0 { -1_i8 } else { 1 }));
        (self.scale * self.scale - squared / self.rotated.len() as f32).max(0.0) // CAST: exact
    }

    /// Tables for the scan of product codes.
    pub(super) fn lookups(&self) -> &LookupTables {
        &self.lookups
    }

    /// Bytes for the scan.
    pub(super) fn table(&self) -> &[i8] {
        &self.table
    }

    /// Terms for a list whose head is at squared distance `head_distance`.
    pub fn terms(&self, head_distance: f32) -> ScanTerms {
        let base = self.mean_distance.unwrap_or(head_distance);
        ScanTerms { base, offset: self.offset, scale: self.scale }
    }

    /// Standard error of an estimate made with `terms`, for vector `lane` of a block.
    #[inline]
    pub fn error(&self, terms: &ScanTerms, factors: &[u8; FACTOR_BYTES], lane: usize) -> f32 {
        self.combined(terms, error_of(factors, lane), mul_of(factors, lane), steps(factors))
    }

    /// The part of the squared error that rounding the query adds.
    #[cfg(test)]
    pub(super) fn rounding_variance(&self, factors: &[u8; FACTOR_BYTES], lane: usize) -> f64 {
        f64::from(mul_of(factors, lane)).powi(2) * self.rounding
    }

    /// No standard error of a vector in `blocks` is larger.
    pub fn error_max(&self, terms: &ScanTerms, blocks: &[[u8; FACTOR_BYTES]]) -> f32 {
        let (mut error, mut mul, mut step) = (0.0_f32, 0.0_f32, (0.0_f32, 0.0_f32));
        for factors in blocks {
            let (of_error, of_mul) = maxima(factors);
            let (of_add, of_products) = steps(factors);
            error = error.max(of_error);
            mul = mul.max(of_mul);
            step = (step.0.max(of_add), step.1.max(of_products));
        }
        self.combined(terms, error, mul, step)
    }

    /// The error of the code, that of rounding the query, and that of rounding `add` and the factor of the product to
    /// `steps`: one vector of a block with far larger factors than the others makes theirs coarse. Squares may leave the
    /// range of f32 where the error itself does not.
    #[inline]
    fn combined(&self, terms: &ScanTerms, error: f32, mul: f32, steps: (f32, f32)) -> f32 {
        let (error, mul) = (f64::from(self.stretch) * f64::from(error), f64::from(mul));
        let (add, product) = (f64::from(steps.0), f64::from(steps.1) * f64::from(self.product_max));
        let variance = error * error * f64::from(terms.base)
            + mul * mul * self.rounding
            + (add * add + product * product) / 12.0;
        variance.sqrt() as f32 // CAST: rounds
    }
}

/// Codes lose more in some segments than in others: what the lost parts of the products of a query, as seen from its
/// nearest head, are expected to be, over what a code states for queries spread as vectors are.
fn stretch(model: &PlaneModel, centred: &[f32], rotated: &[f32]) -> f32 {
    let squared = |values: &[f32]| values.iter().map(|x| x * x).sum::<f32>();
    let all = squared(centred);
    let (mut found, mut expected, mut covered, mut weight) = (0.0, 0.0, 0.0, 0.0);
    let mut rest = rotated;
    for (segment, of) in model.layout.segments().iter().zip(&model.segments) {
        let (values, after) = rest.split_at(segment.dims);
        let here = squared(values);
        covered += here;
        found += here * of.lost;
        let dims = segment.dims as f32; // CAST: exact
        weight += dims * of.weight;
        expected += dims * of.weight * of.lost;
        rest = after;
    }
    found += (all - covered).max(0.0) * model.dropped;
    expected += (1.0 - weight).max(0.0) * model.dropped;
    let ratio = found / (all * expected);
    if ratio.is_finite() && ratio > 0.0 { ratio.sqrt() } else { 1.0 }
}

/// The same for product codes, dimension by dimension.
fn stretch_of_products(model: &ProductModel, rotated: &[f32]) -> f32 {
    let (mut found, mut expected, mut all) = (0.0_f64, 0.0_f64, 0.0_f64);
    let of_dims = model.weight().iter().zip(model.lost());
    for (&x, (&weight, &lost)) in rotated.iter().zip(of_dims) {
        let (squared, lost) = (f64::from(x) * f64::from(x), f64::from(lost));
        all += squared;
        found += squared * lost;
        expected += f64::from(weight) * lost;
    }
    let ratio = found / (all * expected);
    if ratio.is_finite() && ratio > 0.0 { ratio.sqrt() as f32 } else { 1.0 } // CAST: rounds
}
