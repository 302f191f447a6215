//! Rows made ready for the kernels.
use rayon::prelude::*;
use spandrel_index::kernels::{BlockKernel, Operation, RightRows};
use spandrel_index::{DType, Metric, decode};

use super::exact;
use crate::values::{BadRow, check_rows};

/// Packed bytes of a tile: it stays in the second-level cache while all queries of a group pass over it.
const TILE_BYTES: usize = 64 << 10;
/// Rows of a tile are a multiple of this, which wastes nothing in the kernels.
const TILE_ROWS_STEP: usize = 32;

/// What all rows of a search have in common.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    pub(super) metric: Metric,
    pub(super) dtype: DType,
    pub(super) dim: usize,
    pub(super) kernel: BlockKernel,
}

impl Shape {
    pub(super) fn new(metric: Metric, dtype: DType, dim: usize) -> Shape {
        Shape { metric, dtype, dim, kernel: BlockKernel::new(dtype, dim) }
    }

    pub(super) fn row_bytes(&self) -> usize {
        self.dtype.row_bytes(self.dim)
    }

    pub(super) fn operation(&self) -> Operation {
        exact::operation(self.metric)
    }

    pub(super) fn tile_rows(&self) -> usize {
        // The kernels widen integers to two bytes and floats to four.
        let packed_row_bytes = if self.dtype.is_integer() { 2 * self.dim } else { 4 * self.dim };
        (TILE_BYTES / packed_row_bytes).max(1).next_multiple_of(TILE_ROWS_STEP)
    }
}

/// Rows with their norms, checked to be finite and, under cosine, not zero.
#[derive(Debug)]
pub(super) struct Measured {
    /// The elements, for floats only.
    pub(super) values: Vec<f32>,
    pub(super) square_norms: Vec<f64>,
}

impl Measured {
    /// `first` is the number of the first row.
    pub(super) fn new(shape: &Shape, first: u64, rows: &[u8]) -> Result<Measured, BadRow> {
        let (values, square_norms) = if shape.dtype.is_integer() {
            let norm = |row| exact::integer_value(Operation::InnerProduct, shape.dtype, row, row);
            (Vec::new(), rows.chunks_exact(shape.row_bytes()).map(norm).collect::<Vec<f64>>())
        } else {
            let values = decode(shape.dtype, rows);
            let norm = |row| exact::float_value(Operation::InnerProduct, row, row);
            let norms = values.chunks_exact(shape.dim).map(norm).collect();
            (values, norms)
        };
        // Truth is exact also where a build refuses a length.
        let is_bad = |norm: &f64| !norm.is_finite() || (shape.metric == Metric::Cosine && *norm == 0.0);
        if let Some(bad) = square_norms.iter().position(is_bad) {
            let row = &rows[bad * shape.row_bytes()..][..shape.row_bytes()];
            check_rows(shape.metric, shape.dtype, shape.row_bytes(), first + bad as u64, row)?; // CAST: widening
        }
        Ok(Measured { values, square_norms })
    }
}

/// A few rows of the base.
#[derive(Debug)]
pub(super) struct Tile {
    /// Where its rows begin in the block.
    pub(super) start: usize,
    pub(super) packed: RightRows,
    pub(super) measured: Measured,
    /// Under cosine, one over each norm.
    pub(super) inverse_norms: Vec<f32>,
    pub(super) norm_min: f64,
    pub(super) norm_max: f64,
}

/// Cuts a block of the base, whose first row is number `first`, into tiles.
pub(super) fn tiles(shape: &Shape, first: u64, rows: &[u8]) -> Result<Vec<Tile>, BadRow> {
    let (row_bytes, tile_rows) = (shape.row_bytes(), shape.tile_rows());
    let tile = |(number, rows): (usize, &[u8])| {
        let start = number * tile_rows;
        let measured = Measured::new(shape, first + start as u64, rows)?; // CAST: widening
        let square_min = measured.square_norms.iter().copied().fold(f64::INFINITY, f64::min);
        let square_max = measured.square_norms.iter().copied().fold(0.0, f64::max);
        let inverse_norms = match shape.metric {
            // CAST: rounded to nearest; the margin of the search covers it
            Metric::Cosine => measured.square_norms.iter().map(|n| n.sqrt().recip() as f32).collect(),
            Metric::L2 | Metric::InnerProduct => Vec::new(),
        };
        Ok(Tile {
            start,
            packed: shape.kernel.pack_right(rows),
            measured,
            inverse_norms,
            norm_min: square_min.sqrt(),
            norm_max: square_max.sqrt(),
        })
    };
    // Collected in order first, so that the row blamed does not depend on the threads.
    let tiles: Vec<Result<Tile, BadRow>> =
        rows.par_chunks(tile_rows * row_bytes).enumerate().map(tile).collect();
    tiles.into_iter().collect()
}
