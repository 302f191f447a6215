//! Elements as numbers: decoding, encoding, and looking for the values that have no distance.
use half::f16;
use spandrel_index::{DType, Metric, SourceError, Unusable, check_vectors};

use crate::watch::Stopped;

/// A row that cannot be compared with others: remove or replace it.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error("row {row}: {found}")]
pub struct BadRow {
    /// The row.
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
        /// The source.
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

/// The elements of rows as f32, which holds those of every type exactly.
pub fn decode(dtype: DType, bytes: &[u8]) -> Vec<f32> {
    let mut out = Vec::new();
    decode_into(dtype, bytes, &mut out);
    out
}

/// Replaces `out` with the elements of rows.
pub(crate) fn decode_into(dtype: DType, bytes: &[u8], out: &mut Vec<f32>) {
    out.clear();
    match dtype {
        DType::F32 => out.extend(bytes.as_chunks::<4>().0.iter().map(|&b| f32::from_le_bytes(b))),
        DType::F16 => out.extend(bytes.as_chunks::<2>().0.iter().map(|&b| f16::from_le_bytes(b).to_f32())),
        DType::I8 => out.extend(bytes.iter().map(|&b| f32::from(b.cast_signed()))),
        DType::U8 => out.extend(bytes.iter().map(|&b| f32::from(b))),
    }
}

/// Appends values in a type: f16 rounds to nearest, integers must be exact.
///
/// # Errors
/// The position of the first value that the type cannot hold.
pub(crate) fn encode(dtype: DType, values: &[f32], out: &mut Vec<u8>) -> Result<(), usize> {
    for (at, &value) in values.iter().enumerate() {
        match dtype {
            DType::F32 => out.extend(value.to_le_bytes()),
            DType::F16 => {
                let half = f16::from_f32(value);
                if value.is_finite() && !half.is_finite() {
                    return Err(at);
                }
                out.extend(half.to_le_bytes());
            }
            DType::I8 => {
                let byte = value as i8; // CAST: saturates; compared with the value in the next line
                if f32::from(byte) != value {
                    return Err(at);
                }
                out.extend(byte.to_le_bytes());
            }
            DType::U8 => {
                let byte = value as u8; // CAST: saturates; compared with the value in the next line
                if f32::from(byte) != value {
                    return Err(at);
                }
                out.push(byte);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encoding_refuses_what_does_not_fit() {
        let refused = |dtype, value| encode(dtype, &[1.0, value], &mut Vec::new()) == Err(1);
        for value in [-1.0, 256.0, 0.5, f32::NAN, f32::INFINITY] {
            assert!(refused(DType::U8, value), "{value}");
        }
        for value in [-129.0, 128.0, -0.5, f32::NAN] {
            assert!(refused(DType::I8, value), "{value}");
        }
        assert!(refused(DType::F16, 70_000.0) && !refused(DType::F16, 0.1) && !refused(DType::F16, f32::NAN));
    }

    #[test]
    fn every_byte_survives() {
        let bytes: Vec<u8> = (0..=255).collect();
        for dtype in [DType::U8, DType::I8] {
            let mut out = Vec::new();
            encode(dtype, &decode(dtype, &bytes), &mut out).unwrap();
            assert_eq!(out, bytes);
        }
    }
}
