//! Writing vectors, row by row.
use std::io::Write;
use std::path::PathBuf;

use spandrel_index::{DIM_MAX, DType};

use super::output::OutputFile;
use super::{FileError, Format, OutFile, npy};

/// A file of vectors being written.
///
/// Rows go to a file beside the destination, `NAME.partial`; [`VectorWriter::finish`] writes the count, makes the file
/// durable and moves it into place. Dropped before that, it leaves nothing behind.
#[derive(Debug)]
pub struct VectorWriter {
    path: PathBuf,
    out: OutputFile,
    format: Format,
    dtype: DType,
    dim: usize,
    rows: u64,
}

impl VectorWriter {
    /// Creates a file in the format of its extension, for rows of `dim` elements.
    ///
    /// # Errors
    /// A name that tells no format, a format that cannot hold `dtype`, `dim` out of range, a folder that cannot be written.
    pub fn create<'a>(
        to: impl Into<OutFile<'a>>,
        dtype: DType,
        dim: usize,
    ) -> Result<VectorWriter, FileError> {
        let to = to.into();
        let (path, format) = (to.path, to.format()?);
        if !format.holds(dtype) {
            return Err(FileError::kind(path, format, dtype));
        }
        if dim == 0 || dim > DIM_MAX {
            return Err(FileError::Dim { path: path.to_owned(), dim });
        }
        let header_bytes = header(format, dtype, dim, 0).len();
        let out = OutputFile::create(path, header_bytes)?;
        Ok(VectorWriter { path: path.to_owned(), out, format, dtype, dim, rows: 0 })
    }

    /// Appends rows lying back to back, little-endian.
    ///
    /// # Errors
    /// Bytes that are no whole number of rows, more rows than the format can count, a full disk.
    pub fn write_rows(&mut self, rows: &[u8]) -> Result<(), FileError> {
        let row_bytes = self.dtype.row_bytes(self.dim);
        if !rows.len().is_multiple_of(row_bytes) {
            return Err(FileError::PartialRow { path: self.path.clone(), bytes: rows.len(), row_bytes });
        }
        let count = self.rows + (rows.len() / row_bytes) as u64; // CAST: usize is 64 bits here
        self.check_rows(count)?;
        match self.format {
            Format::Fvecs | Format::Bvecs | Format::Ivecs => {
                let prefix = (self.dim as u32).to_le_bytes(); // CAST: at most DIM_MAX
                for row in rows.chunks_exact(row_bytes) {
                    self.out.write_all(&prefix)?;
                    self.out.write_all(row)?;
                }
            }
            _ => self.out.write_all(rows)?,
        }
        self.rows = count;
        Ok(())
    }

    /// Refuses a number of rows before the first of them is written.
    ///
    /// # Errors
    /// [`FileError::TooManyRows`].
    pub fn check_rows(&self, rows: u64) -> Result<(), FileError> {
        let rows_max = self.rows_max();
        if rows > rows_max {
            return Err(FileError::TooManyRows { path: self.path.clone(), format: self.format, rows_max });
        }
        Ok(())
    }

    /// Rows written so far.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Writes the count, makes the file durable and moves it to its name. Returns the number of rows.
    ///
    /// # Errors
    /// No rows, or the system's refusal; the file that had the name before is then still there.
    pub fn finish(self) -> Result<u64, FileError> {
        if self.rows == 0 {
            return Err(FileError::NoRows { path: self.path });
        }
        self.out.finish(&header(self.format, self.dtype, self.dim, self.rows))?;
        Ok(self.rows)
    }

    fn rows_max(&self) -> u64 {
        match self.format {
            Format::Fbin | Format::F16bin | Format::I8bin | Format::U8bin | Format::Ibin => {
                u64::from(u32::MAX)
            }
            Format::Fvecs | Format::Bvecs | Format::Ivecs | Format::Npy => u64::MAX,
        }
    }
}

/// The bytes before the first row, of the same length for any number of rows.
fn header(format: Format, dtype: DType, dim: usize, rows: u64) -> Vec<u8> {
    match format {
        Format::Fbin | Format::F16bin | Format::I8bin | Format::U8bin | Format::Ibin => {
            // CAST: `write_rows` keeps the count within u32, `create` the dim
            [(rows as u32).to_le_bytes(), (dim as u32).to_le_bytes()].concat()
        }
        Format::Fvecs | Format::Bvecs | Format::Ivecs => Vec::new(),
        Format::Npy => npy::write(npy::descr(dtype), rows, dim),
    }
}
