//! A query made ready for codes of bit planes.
use super::layout::PlaneLayout;
use super::model::{PlaneModel, QueryForm};
use crate::codes::query::CodeQuery;
use crate::codes::rounding::nearest_whole;

/// Largest value of a query's bytes: one less than the range allows, so that its sign can be turned.
const BYTE_MAX: f32 = 127.0;

impl PlaneModel {
    /// Whether codes lose more in some dimensions than in others.
    pub(in crate::codes) fn is_uneven(&self) -> bool {
        self.segments.len() > 1 || self.dropped > 0.0
    }

    /// Codes lose more in some segments than in others: what the lost parts of the products of a query, as seen from its
    /// nearest head, are expected to be, over what a code states for queries spread as vectors are.
    pub(in crate::codes) fn error_ratio(&self, centred: &[f32], rotated: &[f32]) -> f32 {
        let squared = |values: &[f32]| values.iter().map(|x| x * x).sum::<f32>();
        let all = squared(centred);
        let (mut found, mut expected, mut covered, mut weight) = (0.0, 0.0, 0.0, 0.0);
        let mut rest = rotated;
        for (segment, of) in self.layout.segments().iter().zip(&self.segments) {
            let (values, after) = rest.split_at(segment.dims);
            let here = squared(values);
            covered += here;
            found += here * of.lost;
            let dims = segment.dims as f32; // CAST: exact
            weight += dims * of.weight;
            expected += dims * of.weight * of.lost;
            rest = after;
        }
        found += (all - covered).max(0.0) * self.dropped;
        expected += (1.0 - weight).max(0.0) * self.dropped;
        let ratio = found / (all * expected);
        if ratio.is_finite() && ratio > 0.0 { ratio.sqrt() } else { 1.0 }
    }

    /// Rounds a query that was rotated around the mean.
    pub(in crate::codes) fn prepare(&self, query: &mut CodeQuery) {
        let mut rest = query.rotated.as_mut_slice();
        for (segment, of) in self.layout.segments().iter().zip(&self.segments) {
            let (values, after) = rest.split_at_mut(segment.dims);
            values.iter_mut().for_each(|x| *x *= of.step);
            rest = after;
        }
        query.values.clear();
        let variance = match self.query {
            QueryForm::Bytes => query.round_to_bytes(),
            QueryForm::Signs => query.round_to_signs(),
        };
        query.take_values(&self.layout, variance * self.energy);
    }
}

impl CodeQuery {
    /// Makes `values` ready for codes in `layout`, where rounding them added `variance` over the square of a vector's `mul`.
    pub(in crate::codes) fn take_values(&mut self, layout: &PlaneLayout, variance: f32) {
        self.rounding = f64::from(variance);
        (self.offset, self.product_max) = (0.0, 0.0);
        let mut rest = self.values.as_slice();
        for segment in layout.segments() {
            let (values, after) = rest.split_at(segment.dims);
            let sum: i32 = values.iter().map(|&q| i32::from(q)).sum();
            let sizes: i32 = values.iter().map(|&q| i32::from(q).abs()).sum();
            self.offset += segment.middle() * sum as f32; // CAST: exact below 2^24, here and below
            self.product_max += segment.middle() * sizes as f32 * self.scale;
            rest = after;
        }
        layout.table(&self.values, &mut self.table);
    }

    /// Rounds to bytes: the variance of one value's error.
    pub(in crate::codes) fn round_to_bytes(&mut self) -> f32 {
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
}
