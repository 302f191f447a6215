//! Vectors in a file, read by position.
#![deny(clippy::indexing_slicing)]
use std::path::{Path, PathBuf};

use fs_err::File;
use spandrel_index::{DType, SourceError, VectorSource};

use super::element::Element;
use super::layout::Layout;
use super::stored::Stored;
use super::{FileError, Format, InFile};

/// A file of vectors, open for reading.
///
/// Rows are read by position, never mapped: mapped pages would count as the memory of a builder that
/// promised a limit. Any number of threads may read at once.
#[derive(Debug)]
pub struct VectorFile {
    path: PathBuf,
    file: File,
    layout: Layout,
    dtype: DType,
}

impl VectorFile {
    /// Opens a file and checks its header against its length. Formats: see [`Format`].
    ///
    /// # Errors
    /// A name that tells no format, a file of ids, counts out of range, a truncated or oversized file.
    pub fn open(path: impl AsRef<Path>) -> Result<VectorFile, FileError> {
        VectorFile::open_as(path.as_ref().into())
    }

    /// As [`VectorFile::open`], with what the name does not say.
    ///
    /// # Errors
    /// Those of [`VectorFile::open`].
    pub fn open_as(from: InFile<'_>) -> Result<VectorFile, FileError> {
        let (file, layout) = Layout::open(from)?;
        let path = from.path.to_owned();
        let Some(dtype) = layout.element.dtype() else {
            return Err(FileError::Kind {
                path,
                format: layout.format,
                wanted: "vectors (its elements are ids)".to_owned(),
                instead: "fbin, f16bin, i8bin, u8bin, fvecs, bvecs, or npy of x.astype('float32')",
            });
        };
        Ok(VectorFile { path, file, layout, dtype })
    }

    /// As [`VectorFile::open_as`], for a matrix of f32 numbers with at most `columns_max` in a row. Its rows are no vectors of an index
    /// where they are longer than [`DIM_MAX`](spandrel_index::DIM_MAX).
    ///
    /// # Errors
    /// Those of [`VectorFile::open_as`], and another element type.
    pub(crate) fn open_matrix(from: InFile<'_>, columns_max: usize) -> Result<VectorFile, FileError> {
        let (file, layout) = Layout::open_wide(from, columns_max)?;
        let path = from.path.to_owned();
        match layout.element.dtype() {
            Some(DType::F32) => Ok(VectorFile { path, file, layout, dtype: DType::F32 }),
            _ => Err(FileError::kind(&path, layout.format, DType::F32)),
        }
    }

    /// The file's format.
    pub fn format(&self) -> Format {
        self.layout.format
    }

    /// The file's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Length of the whole file in bytes.
    pub fn file_bytes(&self) -> u64 {
        self.layout.file_bytes
    }

    /// Reads rows of double precision and rounds them.
    fn read_doubles(&self, stored: Stored<'_>, mut first: u64, out: &mut [u8]) -> Result<(), SourceError> {
        let row_bytes = self.dtype.row_bytes(self.layout.width);
        let rows_at_once = stored.rows_at_once();
        let mut doubles = Vec::new();
        // CAST: a few MiB, or one row
        for out in out.chunks_mut(rows_at_once as usize * row_bytes) {
            doubles.resize(2 * out.len(), 0);
            stored.read(first, &mut doubles)?;
            for (from, to) in doubles.as_chunks::<8>().0.iter().zip(out.as_chunks_mut::<4>().0) {
                *to = (f64::from_le_bytes(*from) as f32).to_le_bytes(); // CAST: rounds to nearest
            }
            first += rows_at_once;
        }
        Ok(())
    }
}

impl VectorSource for VectorFile {
    fn len(&self) -> u64 {
        self.layout.rows
    }

    fn dim(&self) -> usize {
        self.layout.width
    }

    fn dtype(&self) -> DType {
        self.dtype
    }

    fn read_rows(&self, first: u64, out: &mut [u8]) -> Result<(), SourceError> {
        let row_bytes = self.dtype.row_bytes(self.layout.width);
        assert!(out.len().is_multiple_of(row_bytes), "a buffer holds whole rows");
        let rows = (out.len() / row_bytes) as u64; // CAST: usize is 64 bits here
        let end = first.saturating_add(rows);
        if end > self.layout.rows {
            return Err(SourceError::Range { name: self.name(), first, end, len: self.layout.rows });
        }
        let stored = Stored { path: &self.path, file: &self.file, layout: &self.layout };
        match self.layout.element {
            Element::Double => self.read_doubles(stored, first, out),
            _ => stored.read(first, out),
        }
    }

    fn name(&self) -> String {
        self.path.display().to_string()
    }
}
