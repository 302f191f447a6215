//! Tables of a query's products with all centroids, rounded to bytes.
use super::model::ProductModel;
use crate::codes::rounding::nearest_whole;
use crate::kernels::lookup::LookupTables;

/// Largest value of a table.
const TABLE_MAX: f32 = 255.0;

/// What tables of bytes stand for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::codes) struct TableTerms {
    /// What the least of each table contributes to every sum, in steps.
    pub(in crate::codes) offset: f32,
    /// Value of one step.
    pub(in crate::codes) scale: f32,
    /// Variance that rounding adds to a sum.
    pub(in crate::codes) variance: f64,
    /// No sum is larger, signs apart.
    pub(in crate::codes) product_max: f32,
}

impl ProductModel {
    /// Codes lose more in some dimensions than in others: what the lost parts of the products of a query, as seen from its
    /// nearest head, are expected to be, over what a code states for queries spread as vectors are. `squared` is the query's squared
    /// length before it was mapped, where that changes lengths.
    pub(in crate::codes) fn error_ratio(&self, rotated: &[f32], squared: Option<f32>) -> f32 {
        let (mut found, mut expected, mut all) = (0.0_f64, 0.0_f64, 0.0_f64);
        let of_dims = self.weight.iter().zip(&self.lost);
        for (&x, (&weight, &lost)) in rotated.iter().zip(of_dims) {
            let (squared, lost) = (f64::from(x) * f64::from(x), f64::from(lost));
            all += squared;
            found += squared * lost;
            expected += f64::from(weight) * lost;
        }
        let all = squared.map_or(all, f64::from);
        let ratio = found / (all * expected);
        if ratio.is_finite() && ratio > 0.0 { ratio.sqrt() as f32 } else { 1.0 } // CAST: rounds
    }

    /// Fills `tables` for a rotated query; `products` is a buffer.
    pub(in crate::codes) fn tables(
        &self,
        query: &[f32],
        products: &mut Vec<f32>,
        tables: &mut LookupTables,
    ) -> TableTerms {
        let (width, entries) = (self.width(), self.entries());
        products.clear();
        for (query, columns) in query.chunks_exact(width).zip(self.columns.chunks_exact(entries * width)) {
            let start = products.len();
            products.resize(start + entries, 0.0);
            for (&element, column) in query.iter().zip(columns.chunks_exact(entries)) {
                products[start..].iter_mut().zip(column).for_each(|(sum, x)| *sum += element * x);
            }
        }
        let (mut widest, mut least, mut most) = (0.0_f32, 0.0_f32, 0.0_f32);
        for table in products.chunks_exact_mut(entries) {
            let (low, high) = range(table);
            widest = widest.max(high - low);
            least += low;
            most += high;
            table.iter_mut().for_each(|x| *x -= low);
        }
        // Tables of equal values are zeros in steps of any size.
        let scale = if widest > 0.0 { (widest / TABLE_MAX).max(f32::MIN_POSITIVE) } else { 1.0 };
        tables.reset(self.quantisers, self.bits);
        for (quantiser, table) in products.chunks_exact(entries).enumerate() {
            for (out, x) in tables.of_mut(quantiser).iter_mut().zip(table) {
                *out = nearest_whole(x / scale) as u8; // CAST: at most 255 by the choice of scale
            }
        }
        let variance = self.quantisers as f64 * f64::from(scale).powi(2) / 12.0; // CAST: exact
        TableTerms { offset: -least / scale, scale, variance, product_max: least.abs().max(most.abs()) }
    }
}

/// The least and the largest of a table.
fn range(table: &[f32]) -> (f32, f32) {
    const LANES: usize = 16;
    let less = |a: f32, b: f32| if b < a { b } else { a };
    let more = |a: f32, b: f32| if b > a { b } else { a };
    let (mut low, mut high) = ([f32::INFINITY; LANES], [f32::NEG_INFINITY; LANES]);
    for values in table.as_chunks::<LANES>().0 {
        for lane in 0..LANES {
            (low[lane], high[lane]) = (less(low[lane], values[lane]), more(high[lane], values[lane]));
        }
    }
    let mut width = LANES / 2;
    while width > 0 {
        for lane in 0..width {
            (low[lane], high[lane]) =
                (less(low[lane], low[lane + width]), more(high[lane], high[lane + width]));
        }
        width /= 2;
    }
    (low[0], high[0])
}
