//! Where a builder or a measurement takes vectors from.
use std::io;
use std::path::PathBuf;

use crate::DType;

/// Rows of vectors in a fixed order. Reading a range twice gives the same bytes.
///
/// Readers may call from several threads at once; a call blocks until its rows are there.
pub trait VectorSource: Send + Sync {
    /// Number of rows.
    fn len(&self) -> u64;

    /// Whether there is no row at all.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Elements in each row.
    fn dim(&self) -> usize;

    /// Element type of every row.
    fn dtype(&self) -> DType;

    /// Fills `out` with the rows from `first` on, little-endian, back to back.
    ///
    /// `out` holds a whole number of rows.
    ///
    /// # Errors
    /// [`SourceError::Range`] past the last row, [`SourceError::Read`] when the file cannot be read.
    fn read_rows(&self, first: u64, out: &mut [u8]) -> Result<(), SourceError>;

    /// What to call this source in a message, such as its path.
    fn name(&self) -> String;

    /// Bytes of one row.
    fn row_bytes(&self) -> usize {
        self.dtype().row_bytes(self.dim())
    }
}

impl<S: VectorSource + ?Sized> VectorSource for &S {
    fn len(&self) -> u64 {
        (**self).len()
    }

    fn dim(&self) -> usize {
        (**self).dim()
    }

    fn dtype(&self) -> DType {
        (**self).dtype()
    }

    fn read_rows(&self, first: u64, out: &mut [u8]) -> Result<(), SourceError> {
        (**self).read_rows(first, out)
    }

    fn name(&self) -> String {
        (**self).name()
    }
}

/// Why rows could not be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// The rows asked for do not all exist.
    #[error("{name}: rows {first}..{end} asked for, it has {len}")]
    Range {
        /// Name of the source, as its `name` gives it.
        name: String,
        /// First row asked for.
        first: u64,
        /// One past the last row asked for.
        end: u64,
        /// Rows of the source.
        len: u64,
    },
    /// A value has no place in the type that rows are wanted in. Scale the values, or take another type.
    #[error("{name}: row {row}, element {element} is {value}, which {dtype} cannot hold")]
    Value {
        /// Name of the source, as its `name` gives it.
        name: String,
        /// Row number in the source, from 0.
        row: u64,
        /// The element in the row.
        element: usize,
        /// Value of the element.
        value: f32,
        /// Element type that the value does not fit.
        dtype: DType,
    },
    /// Whoever reads was told to stop. Nothing is wrong with the source.
    #[error("stopped")]
    Stopped,
    /// The file shrank or the device failed since it was opened.
    #[error("{path}: reading {bytes} bytes at {offset}", path = path.display())]
    Read {
        /// File that rows are read from.
        path: PathBuf,
        /// Where the read began.
        offset: u64,
        /// Bytes asked for.
        bytes: usize,
        /// What the system answered to the read.
        source: io::Error,
    },
}
