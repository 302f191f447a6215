//! A query made ready for the scan of codes.
use super::frame::Frame;
use super::rotation::RotationScratch;
use crate::kernels::lookup::LookupTables;
use crate::kernels::scan::{FACTOR_BYTES, Maxima, ScanTerms, error_of, maxima, mul_of, steps};

/// A query's values, or tables of its products with centroids, as bytes. Serves every list; its buffers are used again by
/// the queries that follow.
#[derive(Debug, Default)]
pub struct CodeQuery {
    pub(super) table: Vec<i8>,
    pub(super) lookups: LookupTables,
    pub(super) products: Vec<f32>,
    pub(super) values: Vec<i8>,
    pub(super) centred: Vec<f32>,
    pub(super) rotated: Vec<f32>,
    pub(super) rotation: RotationScratch,
    pub(super) offset: f32,
    pub(super) scale: f32,
    /// Variance that rounding the query adds, over the square of a vector's `mul`.
    pub(super) rounding: f64,
    /// No product of a code and the query is larger, signs apart.
    pub(super) product_max: f32,
    /// What the stated errors of codes are multiplied with, since this query is spread over the dimensions in its own
    /// way.
    pub(super) error_ratio: f32,
    /// Squared distance to the mean, where residuals are measured from it.
    pub(super) mean_distance: Option<f32>,
    /// Squared distance to the anchor, which decides errors where there is one; that to the head does otherwise.
    pub(super) anchor_distance: Option<f32>,
}

impl CodeQuery {
    /// Rotates the query as seen from each of the centres.
    pub(super) fn rotate(&mut self, frame: &Frame<'_>, row: &[f32], centres: &[&[f32]]) {
        self.centred.clear();
        for centre in centres {
            self.centred.extend(row.iter().zip(*centre).map(|(x, c)| x - c));
        }
        self.rotated.clear();
        self.rotated.resize(centres.len() * frame.dims, 0.0);
        frame.query_rotation().apply(&self.centred, frame.dim, &mut self.rotation, &mut self.rotated);
    }

    /// Takes errors for no smaller than codes state them. What codes of a sample lose on average where the query lies says nothing of the
    /// vector that loses the most.
    pub fn trust_no_average(&mut self) {
        self.error_ratio = self.error_ratio.max(1.0);
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
        self.errors(terms, factors)(lane)
    }

    /// As [`CodeQuery::error`], for any lane of the block: what all have in common is computed once.
    #[inline]
    pub fn errors<'a>(
        &'a self,
        terms: &'a ScanTerms,
        factors: &'a [u8; FACTOR_BYTES],
    ) -> impl Fn(usize) -> f32 + 'a {
        let of_steps = self.of_steps(steps(factors));
        move |lane| self.combined(terms, error_of(factors, lane), mul_of(factors, lane), of_steps)
    }

    /// The part of the squared error that rounding the query adds.
    #[cfg(test)]
    pub(super) fn rounding_variance(&self, factors: &[u8; FACTOR_BYTES], lane: usize) -> f64 {
        f64::from(mul_of(factors, lane)).powi(2) * self.rounding
    }

    /// No standard error of a vector in `blocks` is larger.
    pub fn error_max(&self, terms: &ScanTerms, blocks: &[[u8; FACTOR_BYTES]]) -> f32 {
        let Maxima { error, mul, steps } = maxima(blocks);
        self.combined(terms, error, mul, self.of_steps(steps))
    }

    /// The variance of rounding `add` and the factor of the product to `steps`: one vector of a block with far larger factors
    /// than the others makes theirs coarse.
    #[inline]
    fn of_steps(&self, steps: (f32, f32)) -> f64 {
        let (add, product) = (f64::from(steps.0), f64::from(steps.1) * f64::from(self.product_max));
        (add * add + product * product) / 12.0
    }

    /// The error of the code, that of rounding the query, and that of rounding factors to steps. Squares may leave the range of f32
    /// where the error itself does not.
    #[inline]
    fn combined(&self, terms: &ScanTerms, error: f32, mul: f32, of_steps: f64) -> f32 {
        let (error, mul) = (f64::from(self.error_ratio) * f64::from(error), f64::from(mul));
        let distance = self.anchor_distance.unwrap_or(terms.base);
        let variance = error * error * f64::from(distance) + mul * mul * self.rounding + of_steps;
        variance.sqrt() as f32 // CAST: rounds
    }
}
