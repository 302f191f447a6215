//! Elements as numbers: decoding, encoding, and looking for the values that have no distance.
use half::f16;
use spandrel_index::{DType, SourceError, VectorSource};

use crate::watch::{Stopped, Watch, for_each_block};

/// A row that cannot be compared with others.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum BadRow {
    /// NaN or an infinity: remove or replace the row.
    #[error("row {row}, element {element} is {value}, expected a finite number")]
    NotFinite {
        /// The row.
        row: u64,
        /// The element in the row.
        element: usize,
        /// The value there.
        value: f32,
    },
    /// All elements are zero, which has no cosine: remove the row or use another metric.
    #[error("row {row} is all zeros, which has no cosine")]
    Zero {
        /// The row.
        row: u64,
    },
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

/// Reads every row and refuses the first with a NaN, an infinity or, where `zeros` are refused, only zeros.
///
/// # Errors
/// See [`CheckError`].
pub fn check_values(source: &dyn VectorSource, zeros: Zeros, watch: Watch<'_>) -> Result<(), CheckError> {
    if source.dtype().is_integer() && zeros == Zeros::Accept {
        return Ok(());
    }
    let (dtype, dim) = (source.dtype(), source.dim());
    for_each_block(source, 0..source.len(), watch, |first, rows| {
        check_rows(dtype, dim, first, rows, zeros).map_err(|bad| CheckError::Row { name: source.name(), bad })
    })
}

/// What to do with rows of zeros.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Zeros {
    /// They are vectors like any other.
    Accept,
    /// They have no cosine.
    Refuse,
}

/// Checks rows lying back to back, the first of them number `first`.
///
/// # Errors
/// The first bad row.
pub fn check_rows(dtype: DType, dim: usize, first: u64, rows: &[u8], zeros: Zeros) -> Result<(), BadRow> {
    let row_bytes = dtype.row_bytes(dim);
    for (row, bytes) in (first..).zip(rows.chunks_exact(row_bytes)) {
        let finite = match dtype {
            DType::F32 => bytes.as_chunks::<4>().0.iter().all(|&b| f32::from_le_bytes(b).is_finite()),
            DType::F16 => bytes.as_chunks::<2>().0.iter().all(|&b| f16::from_le_bytes(b).is_finite()),
            DType::I8 | DType::U8 => true,
        };
        if !finite {
            let values = decode(dtype, bytes);
            let bad = values.iter().enumerate().find(|(_, v)| !v.is_finite());
            let (element, &value) = bad.unwrap_or((0, &f32::NAN));
            return Err(BadRow::NotFinite { row, element, value });
        }
        if zeros == Zeros::Refuse && is_zero(dtype, bytes) {
            return Err(BadRow::Zero { row });
        }
    }
    Ok(())
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
    use crate::Rows;

    fn check(dtype: DType, values: &[f32], zeros: Zeros) -> Result<(), CheckError> {
        let mut bytes = Vec::new();
        encode(dtype, values, &mut bytes).unwrap();
        check_values(&Rows::new(dtype, 2, bytes).unwrap(), zeros, Watch::none())
    }

    #[test]
    fn bad_values_are_named_by_row() {
        for dtype in [DType::F32, DType::F16] {
            for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                let error = check(dtype, &[1.0, 2.0, 3.0, value], Zeros::Accept).unwrap_err();
                let expected =
                    format!("rows in memory: row 1, element 1 is {value}, expected a finite number");
                assert_eq!(error.to_string(), expected);
            }
        }
        for dtype in DType::ALL {
            let zeros: &[f32] = &[1.0, 0.0, 0.0, 1.0, -0.0, 0.0];
            assert!(check(dtype, zeros, Zeros::Accept).is_ok());
            let error = check(dtype, zeros, Zeros::Refuse).unwrap_err();
            assert!(matches!(error, CheckError::Row { bad: BadRow::Zero { row: 2 }, .. }));
        }
    }

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
