//! One query against rows as they lie.
use super::{Operation, Variant, scalar};
use crate::DType;

/// A kernel chosen once for an operation, element type and dimension.
#[derive(Debug, Clone, Copy)]
pub struct PairKernel {
    operation: Operation,
    dtype: DType,
    row_bytes: usize,
}

impl PairKernel {
    /// The fastest kernel this machine can run, for rows of `dim` elements.
    pub fn new(operation: Operation, dtype: DType, dim: usize) -> PairKernel {
        Self::with_variant(operation, dtype, dim, Variant::best())
    }

    /// The kernel of one variant, which this machine must be able to run.
    pub fn with_variant(operation: Operation, dtype: DType, dim: usize, _variant: Variant) -> PairKernel {
        PairKernel { operation, dtype, row_bytes: dtype.row_bytes(dim) }
    }

    /// Bytes of one row.
    pub fn row_bytes(&self) -> usize {
        self.row_bytes
    }

    /// The value for one pair of rows.
    #[inline]
    pub fn score(&self, a: &[u8], b: &[u8]) -> f32 {
        assert!(a.len() == self.row_bytes && b.len() == self.row_bytes);
        scalar::score(self.operation, self.dtype, a, b)
    }

    /// The values of `query` against `out.len()` rows lying back to back in `rows`.
    pub fn score_rows(&self, query: &[u8], rows: &[u8], out: &mut [f32]) {
        assert_eq!(rows.len(), self.row_bytes * out.len());
        for (row, out) in rows.chunks_exact(self.row_bytes).zip(out) {
            *out = self.score(query, row);
        }
    }

    /// The values of `query` against the rows of `rows` numbered `picks`, in that order.
    pub fn score_picks(&self, query: &[u8], rows: &[u8], picks: &[u32], out: &mut [f32]) {
        assert_eq!(picks.len(), out.len());
        for (&pick, out) in picks.iter().zip(out) {
            let at = pick as usize * self.row_bytes;
            *out = self.score(query, &rows[at..at + self.row_bytes]);
        }
    }
}
