//! How far rows lie from the anchors of tags.
use std::sync::atomic::AtomicBool;

use rayon::prelude::*;
use spandrel_index::kernels::{Operation, PairKernel};
use spandrel_index::{DType, Metric, VectorSource};

use super::error::LabelError;
use super::placement::Placement;
use crate::converted::Converted;
use crate::neighbours::operation;
use crate::values::check_rows;
use crate::watch::{Watch, for_each_block};

/// A number for each row that grows with its distance.
pub(super) type Distances = Vec<f32>;

/// How rows of one shape are compared.
struct Shape {
    metric: Metric,
    dtype: DType,
    kernel: PairKernel,
    /// For the norms of rows.
    products: PairKernel,
}

impl Shape {
    fn of(source: &dyn VectorSource, metric: Metric) -> Shape {
        let (dtype, dim) = (source.dtype(), source.dim());
        let kernel = PairKernel::new(operation(metric), dtype, dim);
        Shape { metric, dtype, kernel, products: PairKernel::new(Operation::InnerProduct, dtype, dim) }
    }

    fn check(&self, source: &dyn VectorSource, first: u64, rows: &[u8]) -> Result<(), LabelError> {
        check_rows(self.metric, self.dtype, self.kernel.row_bytes(), first, rows)
            .map_err(|bad| LabelError::Row { name: source.name(), bad })
    }

    /// What the values of some rows are multiplied with to be comparable.
    fn scales(&self, rows: &[u8]) -> Vec<f32> {
        let rows = rows.chunks_exact(self.kernel.row_bytes());
        match self.metric {
            Metric::L2 => vec![1.0; rows.len()],
            Metric::InnerProduct => vec![-1.0; rows.len()],
            Metric::Cosine => rows.map(|row| -self.products.score(row, row).sqrt().recip()).collect(),
        }
    }

    /// Writes how far `rows` are from `from`.
    fn distances(&self, from: &[u8], rows: &[u8], scales: &[f32], out: &mut [f32]) {
        self.kernel.score_rows(from, rows, out);
        out.iter_mut().zip(scales).for_each(|(value, scale)| *value *= scale);
    }
}

/// The distances of all rows of a base from each anchor.
pub(super) fn distances(
    base: &dyn VectorSource,
    anchors: &[u32],
    metric: Metric,
    stop: &AtomicBool,
) -> Result<Vec<Distances>, LabelError> {
    let shape = Shape::of(base, metric);
    let row_bytes = base.row_bytes();
    let anchors = rows_of(base, anchors)?;
    let mut all = vec![vec![0.0; base.len() as usize]; anchors.len() / row_bytes]; // CAST: usize is 64 bits here
    let watch = Watch { progress: &|_, _| {}, stop };
    for_each_block(base, 0..base.len(), watch, |first, rows| {
        shape.check(base, first, rows)?;
        let scales = shape.scales(rows);
        all.par_iter_mut().zip(anchors.par_chunks_exact(row_bytes)).for_each(|(all, anchor)| {
            let first = first as usize; // CAST: as above
            shape.distances(anchor, rows, &scales, &mut all[first..first + scales.len()]);
        });
        Ok::<_, LabelError>(())
    })?;
    Ok(all)
}

/// The anchor nearest each query; the farthest where the correlation is negative.
pub(super) fn of_queries(
    base: &dyn VectorSource,
    anchors: &[u32],
    queries: &dyn VectorSource,
    placement: Placement,
) -> Result<Vec<u32>, LabelError> {
    let shape = Shape::of(base, placement.metric);
    let queries = Converted::new(queries, base.dtype());
    let anchors = rows_of(base, anchors)?;
    let scales = shape.scales(&anchors);
    let mut chosen = Vec::new();
    for_each_block(&queries, 0..queries.len(), Watch::none(), |first, rows| {
        shape.check(&queries, first, rows)?;
        let anchor_of = |query: &[u8]| {
            let mut distances = vec![0.0; scales.len()];
            shape.distances(query, &anchors, &scales, &mut distances);
            let of_all = distances.into_iter().zip(0..);
            let chosen = match placement.correlation < 0.0 {
                true => of_all.max_by(|a, b| a.0.total_cmp(&b.0).then(b.1.cmp(&a.1))),
                false => of_all.min_by(|a, b| a.0.total_cmp(&b.0)),
            };
            chosen.map_or(0, |(_, anchor)| anchor)
        };
        chosen.par_extend(rows.par_chunks_exact(queries.row_bytes()).map(anchor_of));
        Ok::<_, LabelError>(())
    })?;
    Ok(chosen)
}

/// Some rows of a base, back to back.
fn rows_of(base: &dyn VectorSource, rows: &[u32]) -> Result<Vec<u8>, LabelError> {
    let row_bytes = base.row_bytes();
    let mut bytes = vec![0; rows.len() * row_bytes];
    for (&row, bytes) in rows.iter().zip(bytes.chunks_exact_mut(row_bytes)) {
        base.read_rows(row.into(), bytes)?;
    }
    Ok(bytes)
}
