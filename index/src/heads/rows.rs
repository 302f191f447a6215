//! Head rows.
use std::fmt;

use super::lines::LineVec;
use crate::kernels::{Operation, PairKernel};
use crate::{DIM_MAX, DType};

/// The heads of a segment: `count` rows of one element type and dimension, back to back in memory.
pub struct Heads {
    dtype: DType,
    dim: usize,
    count: u32,
    /// Heads that searches find: the first of all.
    found: u32,
    kernel: PairKernel,
    rows: LineVec<u8>,
}

/// Rows that cannot be heads.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HeadsError {
    /// No kernel handles the dimension.
    #[error("heads of dimension {0}, expected 1 to {DIM_MAX}")]
    Dim(usize),
    /// Heads are numbered by 32 bits, and their bytes must be countable.
    #[error("{count} heads of {row_bytes} bytes, expected at most {max} heads", max = u32::MAX)]
    TooMany {
        /// Heads asked for.
        count: usize,
        /// Bytes of one head.
        row_bytes: usize,
    },
    /// The bytes are not a whole number of rows.
    #[error("{found} bytes of heads, expected a multiple of {row_bytes}")]
    Length {
        /// Bytes of the rows given.
        found: usize,
        /// Bytes of one head.
        row_bytes: usize,
    },
}

impl Heads {
    /// `count` rows of zeros, to be filled through [`Heads::rows_mut`]. The allocation is exact but for the
    /// 64 bytes that place it on a cache line.
    ///
    /// # Errors
    /// [`HeadsError::Dim`], [`HeadsError::TooMany`]. The caller has checked `count` against its file.
    pub(crate) fn zeroed(dtype: DType, dim: usize, count: usize) -> Result<Heads, HeadsError> {
        check_dim(dim)?;
        let row_bytes = dtype.row_bytes(dim);
        let too_many = HeadsError::TooMany { count, row_bytes };
        let number = u32::try_from(count).map_err(|_| too_many.clone())?;
        let bytes = count.checked_mul(row_bytes).filter(|&b| b <= isize::MAX as usize / 2).ok_or(too_many)?;
        let kernel = PairKernel::new(Operation::SquaredL2, dtype, dim);
        Ok(Heads { dtype, dim, count: number, found: number, kernel, rows: LineVec::new(0, bytes) })
    }

    /// A copy of rows lying back to back.
    ///
    /// # Errors
    /// As [`Heads::zeroed`], and [`HeadsError::Length`] when `rows` ends inside a row.
    pub fn from_rows(dtype: DType, dim: usize, rows: &[u8]) -> Result<Heads, HeadsError> {
        check_dim(dim)?;
        let row_bytes = dtype.row_bytes(dim);
        if !rows.len().is_multiple_of(row_bytes) {
            return Err(HeadsError::Length { found: rows.len(), row_bytes });
        }
        let mut heads = Heads::zeroed(dtype, dim, rows.len() / row_bytes)?;
        heads.rows_mut().copy_from_slice(rows);
        Ok(heads)
    }

    /// Number of heads.
    pub fn len(&self) -> usize {
        self.count as usize
    }

    /// Whether there is no head.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Number of heads, in the width they are numbered by.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Leaves the last heads to their callers: searches find the first `found` alone, at most all.
    pub(crate) fn find_first(&mut self, found: u32) {
        self.found = found.min(self.count);
    }

    /// Number of heads that searches find, the first of all.
    pub fn found(&self) -> u32 {
        self.found
    }

    pub(super) fn found_rows(&self) -> &[u8] {
        &self.rows()[..self.found as usize * self.row_bytes()]
    }

    /// Element type.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// Elements of one head.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// Bytes of one head.
    pub fn row_bytes(&self) -> usize {
        self.dtype.row_bytes(self.dim)
    }

    /// Every row, back to back: head `n` begins at `n * row_bytes`.
    #[inline]
    pub fn rows(&self) -> &[u8] {
        self.rows.as_slice()
    }

    /// Every row, to be filled.
    pub(crate) fn rows_mut(&mut self) -> &mut [u8] {
        self.rows.as_mut_slice()
    }

    /// One row.
    ///
    /// # Panics
    /// When there is no such head.
    #[inline]
    pub fn row(&self, head: u32) -> &[u8] {
        let row_bytes = self.row_bytes();
        let at = head as usize * row_bytes;
        &self.rows()[at..at + row_bytes]
    }

    /// The squared L2 kernel for these rows.
    #[inline]
    pub fn kernel(&self) -> &PairKernel {
        &self.kernel
    }

    /// Bytes allocated.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.rows.memory_bytes()
    }
}

fn check_dim(dim: usize) -> Result<(), HeadsError> {
    if (1..=DIM_MAX).contains(&dim) { Ok(()) } else { Err(HeadsError::Dim(dim)) }
}

impl fmt::Debug for Heads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} heads of {} {}", self.count, self.dim, self.dtype)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_where_they_are_said_to_be() {
        let bytes: Vec<u8> = (0..60).collect();
        let heads = Heads::from_rows(DType::F16, 5, &bytes).unwrap();
        assert_eq!((heads.len(), heads.row_bytes()), (6, 10));
        assert_eq!(heads.row(2), &bytes[20..30]);
        assert_eq!(heads.rows(), bytes);
        assert!(heads.memory_bytes() <= 60 + 64);
    }

    #[test]
    fn what_is_not_heads_is_refused() {
        assert_eq!(Heads::zeroed(DType::U8, 0, 3).unwrap_err(), HeadsError::Dim(0));
        assert_eq!(Heads::from_rows(DType::U8, 0, &[]).unwrap_err(), HeadsError::Dim(0));
        let wide = DIM_MAX + 1;
        assert_eq!(Heads::zeroed(DType::U8, wide, 3).unwrap_err(), HeadsError::Dim(wide));
        let cut = HeadsError::Length { found: 7, row_bytes: 4 };
        assert_eq!(Heads::from_rows(DType::F32, 1, &[0; 7]).unwrap_err(), cut);
        let many = HeadsError::TooMany { count: 1 << 32, row_bytes: 4 };
        assert_eq!(Heads::zeroed(DType::F32, 1, 1 << 32).unwrap_err(), many);
        let huge = Heads::zeroed(DType::F32, usize::MAX >> 8, 1 << 20);
        assert!(matches!(huge, Err(HeadsError::Dim(_))));
    }
}
