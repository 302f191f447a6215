//! Many rows against many rows as one matrix product.
use std::ops::Range;

use super::{Operation, Variant, scalar};
use crate::DType;

/// Rows packed for the left side of a product.
#[derive(Debug, Clone)]
pub struct LeftRows {
    rows: Vec<u8>,
    len: usize,
}

/// Rows packed for the right side of a product.
#[derive(Debug, Clone)]
pub struct RightRows {
    rows: Vec<u8>,
    len: usize,
}

impl LeftRows {
    /// Number of rows.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl RightRows {
    /// Number of rows.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

/// A block kernel chosen once for an element type and dimension.
///
/// The value for a pair depends on the two rows and the variant alone, not on how rows are cut into blocks,
/// so results are the same whatever the block sizes and the thread count.
#[derive(Debug, Clone, Copy)]
pub struct BlockKernel {
    dtype: DType,
    row_bytes: usize,
}

impl BlockKernel {
    /// The fastest kernel this machine can run, for rows of `dim` elements.
    pub fn new(dtype: DType, dim: usize) -> BlockKernel {
        Self::with_variant(dtype, dim, Variant::best())
    }

    /// The kernel of one variant, which this machine must be able to run.
    pub fn with_variant(dtype: DType, dim: usize, _variant: Variant) -> BlockKernel {
        BlockKernel { dtype, row_bytes: dtype.row_bytes(dim) }
    }

    /// Packs rows lying back to back for the left side.
    pub fn pack_left(&self, rows: &[u8]) -> LeftRows {
        LeftRows { rows: rows.to_vec(), len: rows.len() / self.row_bytes }
    }

    /// Packs rows lying back to back for the right side.
    pub fn pack_right(&self, rows: &[u8]) -> RightRows {
        RightRows { rows: rows.to_vec(), len: rows.len() / self.row_bytes }
    }

    /// Values of `left[l_range]` against `right[r_range]`: `out[i * r_range.len() + j]`.
    ///
    /// Squared distances of floats come from norms and products, so they carry the rounding of that
    /// difference and may be slightly negative; those of integers are exact before the final rounding.
    pub fn scores(
        &self,
        operation: Operation,
        (left, l_range): (&LeftRows, Range<usize>),
        (right, r_range): (&RightRows, Range<usize>),
        out: &mut [f32],
    ) {
        assert_eq!(out.len(), l_range.len() * r_range.len());
        let width = r_range.len();
        for (i, l) in l_range.enumerate() {
            let a = &left.rows[l * self.row_bytes..(l + 1) * self.row_bytes];
            for (j, r) in r_range.clone().enumerate() {
                let b = &right.rows[r * self.row_bytes..(r + 1) * self.row_bytes];
                out[i * width + j] = scalar::score(operation, self.dtype, a, b);
            }
        }
    }
}
