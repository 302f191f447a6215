//! Vectors in memory.
use spandrel_index::{DIM_MAX, DType, SourceError, VectorSource};

/// Rows of vectors in memory, such as a set of queries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rows {
    dtype: DType,
    dim: usize,
    bytes: Vec<u8>,
}

/// Why bytes are not rows, or rows do not fit memory.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RowsError {
    /// Elements per row outside what is accepted.
    #[error("{0} elements per row, expected 1..={DIM_MAX}")]
    Dim(usize),
    /// The bytes end inside a row.
    #[error("{bytes} bytes are not whole rows of {row_bytes} bytes")]
    PartialRow {
        /// Bytes given.
        bytes: usize,
        /// Bytes of one row.
        row_bytes: usize,
    },
    /// The rows need more memory than there is.
    #[error("{name}: {bytes} bytes of rows do not fit memory")]
    Memory {
        /// Name of the source, a path where it is a file.
        name: String,
        /// Bytes of all rows.
        bytes: u128,
    },
    /// The source could not be read.
    #[error(transparent)]
    Source(#[from] SourceError),
}

impl Rows {
    /// Rows of `dim` elements lying back to back in `bytes`, little-endian.
    ///
    /// # Errors
    /// `dim` out of range, bytes that are no whole number of rows.
    pub fn new(dtype: DType, dim: usize, bytes: Vec<u8>) -> Result<Rows, RowsError> {
        if dim == 0 || dim > DIM_MAX {
            return Err(RowsError::Dim(dim));
        }
        let row_bytes = dtype.row_bytes(dim);
        if !bytes.len().is_multiple_of(row_bytes) {
            return Err(RowsError::PartialRow { bytes: bytes.len(), row_bytes });
        }
        Ok(Rows { dtype, dim, bytes })
    }

    /// All rows of a source.
    ///
    /// # Errors
    /// Rows that cannot be read or do not fit memory.
    pub fn read(source: &dyn VectorSource) -> Result<Rows, RowsError> {
        let total = u128::from(source.len()) * source.row_bytes() as u128; // CAST: widening
        let too_large = || RowsError::Memory { name: source.name(), bytes: total };
        let len = usize::try_from(total).map_err(|_| too_large())?;
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(len).map_err(|_| too_large())?;
        bytes.resize(len, 0);
        source.read_rows(0, &mut bytes)?;
        Rows::new(source.dtype(), source.dim(), bytes)
    }

    /// The rows, back to back.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// One row.
    ///
    /// # Panics
    /// When there is no such row.
    pub fn row(&self, row: usize) -> &[u8] {
        let row_bytes = self.row_bytes();
        &self.bytes[row * row_bytes..(row + 1) * row_bytes]
    }
}

impl VectorSource for Rows {
    fn len(&self) -> u64 {
        (self.bytes.len() / self.row_bytes()) as u64 // CAST: usize is 64 bits here
    }

    fn dim(&self) -> usize {
        self.dim
    }

    fn dtype(&self) -> DType {
        self.dtype
    }

    fn read_rows(&self, first: u64, out: &mut [u8]) -> Result<(), SourceError> {
        let row_bytes = self.row_bytes();
        assert!(out.len().is_multiple_of(row_bytes), "a buffer holds whole rows");
        let end = first.saturating_add((out.len() / row_bytes) as u64); // CAST: usize is 64 bits here
        if end > self.len() {
            return Err(SourceError::Range { name: self.name(), first, end, len: self.len() });
        }
        let at = usize::try_from(first).unwrap_or(usize::MAX) * row_bytes;
        out.copy_from_slice(&self.bytes[at..at + out.len()]);
        Ok(())
    }

    fn name(&self) -> String {
        "rows in memory".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_a_source() {
        let rows = Rows::new(DType::F16, 3, (0..24).collect()).unwrap();
        assert_eq!((rows.len(), rows.dim(), rows.row_bytes()), (4, 3, 6));
        let mut out = [0; 12];
        rows.read_rows(1, &mut out).unwrap();
        assert_eq!(out.to_vec(), (6..18).collect::<Vec<u8>>());
        assert_eq!(rows.row(3), [18, 19, 20, 21, 22, 23]);
        assert!(matches!(rows.read_rows(3, &mut out), Err(SourceError::Range { end: 5, len: 4, .. })));
        assert!(matches!(rows.read_rows(u64::MAX, &mut out), Err(SourceError::Range { .. })));
        assert_eq!(Rows::read(&rows).unwrap(), rows);
    }

    #[test]
    fn bad_shapes_are_refused() {
        assert!(matches!(Rows::new(DType::U8, 0, vec![]), Err(RowsError::Dim(0))));
        assert!(matches!(Rows::new(DType::U8, DIM_MAX + 1, vec![]), Err(RowsError::Dim(_))));
        assert!(matches!(
            Rows::new(DType::F32, 2, vec![0; 12]),
            Err(RowsError::PartialRow { row_bytes: 8, .. })
        ));
    }
}
