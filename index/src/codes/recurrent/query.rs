//! A query made ready for recurrent binary codes.
use super::encode::append_bits;
use super::model::RecurrentModel;
use crate::codes::query::CodeQuery;
use crate::codes::rotation::Rotation;
use crate::codes::sums::squared_length;

impl RecurrentModel {
    /// Takes in a query that was projected around the mean: in bytes, or coded as vectors are.
    pub(in crate::codes) fn prepare(&self, query: &mut CodeQuery) {
        query.values.clear();
        let variance = match self.is_symmetric {
            true => self.code(query),
            false => query.round_to_bytes(),
        };
        query.take_values(&self.layout, variance * self.energy);
    }

    /// Codes a query, in a scale in which products with the query itself are kept: the variance of one value's error.
    fn code(&self, query: &mut CodeQuery) -> f32 {
        let scale = self.scale_of(squared_length(&query.centred));
        let (mut levels, mut values) = (vec![0; self.bits()], vec![0.0; self.bits()]);
        let (mut projected, mut rebuilt) = (query.rotated.clone(), vec![0.0; self.dim]);
        append_bits(&projected, 1, &mut levels, &mut values);
        for (at, (back, forth)) in self.reconstructions.iter().zip(&self.projections[1..]).enumerate() {
            apply(back, &values, query, &mut rebuilt);
            let left: Vec<f32> = query.centred.iter().zip(&rebuilt).map(|(x, y)| x - scale * y).collect();
            apply(forth, &left, query, &mut projected);
            append_bits(&projected, at + 2, &mut levels, &mut values);
        }
        let top = (1_i8 << self.codes()) - 1;
        query.values.extend(levels.iter().map(|&level| 2 * level as i8 - top)); // CAST: at most 4 bits
        let (mut with_query, mut length) = (0.0_f32, 0.0_f32);
        for (&value, &x) in query.values.iter().zip(&query.rotated) {
            with_query += f32::from(value) * x;
            length += x * x;
        }
        query.scale = if with_query > 0.0 { length / with_query } else { 0.0 };
        let lost = query.values.iter().zip(&query.rotated).map(|(&value, &x)| {
            let off = query.scale * f32::from(value) - x;
            off * off
        });
        lost.sum::<f32>() / self.bits() as f32 // CAST: exact
    }
}

/// Applies a matrix with the buffers of a query.
fn apply(matrix: &Rotation, row: &[f32], query: &mut CodeQuery, out: &mut [f32]) {
    matrix.apply(row, row.len(), &mut query.rotation, out);
}
