//! Rows that have no distance to others.
use spandrel_index::{DType, Metric, SourceError, Unusable, check_vectors};

use crate::watch::Stopped;

/// A row that cannot be compared with others: remove or replace it.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error("row {row}: {found}")]
pub struct BadRow {
    /// Row number in the source, from 0.
    pub row: u64,
    /// What is wrong with it.
    pub found: Unusable,
}

/// Why a set of vectors cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckError {
    /// A row cannot be compared with others.
    #[error("{name}: {bad}")]
    Row {
        /// Name of the source, a path where it is a file.
        name: String,
        /// The first such row.
        bad: BadRow,
    },
    /// The source could not be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The stop flag was set.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

/// Checks rows lying back to back, the first of them number `first`.
///
/// # Errors
/// The first bad row.
pub(crate) fn check_rows(
    metric: Metric,
    dtype: DType,
    row_bytes: usize,
    first: u64,
    rows: &[u8],
) -> Result<(), BadRow> {
    let bad = |(row, found)| BadRow { row: first + row as u64, found }; // CAST: widening
    check_vectors(metric, dtype, row_bytes, rows).map_err(bad)
}

/// Whether every element of a row is zero, negative zero included.
pub(crate) fn is_zero(dtype: DType, row: &[u8]) -> bool {
    match dtype {
        DType::I8 | DType::U8 => row.iter().all(|&b| b == 0),
        DType::F16 => row.as_chunks::<2>().0.iter().all(|&b| u16::from_le_bytes(b) << 1 == 0),
        DType::F32 => row.as_chunks::<4>().0.iter().all(|&b| u32::from_le_bytes(b) << 1 == 0),
    }
}
