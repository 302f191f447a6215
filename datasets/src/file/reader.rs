//! Vectors in a file, read by position.
#![deny(clippy::indexing_slicing)]
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use fs_err::File;
use spandrel_index::{DType, SourceError, VectorSource};

use super::layout::{Element, Layout};
use super::{FileError, Format};

/// Bytes read at once from files whose rows carry a prefix.
const SCRATCH_BYTES: usize = 256 * 1024;

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
    /// Unknown extension, a file of ids, counts out of range, a truncated or oversized file.
    pub fn open(path: impl AsRef<Path>) -> Result<VectorFile, FileError> {
        let path = path.as_ref();
        let format = Format::of(path)?;
        let file = File::open(path)?;
        let layout = Layout::read(path, &file)?;
        let Element::Vector(dtype) = layout.element else {
            return Err(FileError::Kind {
                path: path.to_owned(),
                format,
                wanted: "vectors (its elements are ids)".to_owned(),
                instead: "fbin, f16bin, i8bin, u8bin, fvecs, bvecs or npy",
            });
        };
        Ok(VectorFile { path: path.to_owned(), file, layout, dtype })
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

    fn read_at(&self, offset: u64, out: &mut [u8]) -> Result<(), SourceError> {
        let bytes = out.len();
        let read = self.file.file().read_exact_at(out, offset);
        read.map_err(|source| SourceError::Read { path: self.path.clone(), offset, bytes, source })
    }

    /// Reads rows that each carry their own length, which must be that of the first row.
    fn read_prefixed(&self, first: u64, out: &mut [u8]) -> Result<(), SourceError> {
        let (prefix, row_bytes) = (self.layout.prefix_bytes, self.layout.row_bytes());
        let stride = prefix + row_bytes;
        let rows_at_once = (SCRATCH_BYTES / stride).max(1);
        let mut scratch = vec![0; stride * rows_at_once.min(out.len() / row_bytes)];
        let mut row = first;
        for out in out.chunks_mut(rows_at_once * row_bytes) {
            let (scratch, _) = scratch.split_at_mut(out.len() / row_bytes * stride);
            self.read_at(self.layout.row_at(row), scratch)?;
            for (from, to) in scratch.chunks_exact(stride).zip(out.chunks_exact_mut(row_bytes)) {
                let (length, elements) = from.split_at(prefix);
                let length = length.first_chunk().map_or(0, |&bytes| i32::from_le_bytes(bytes));
                if usize::try_from(length) != Ok(self.layout.width) {
                    return Err(self.row_dim_error(row, length));
                }
                to.copy_from_slice(elements);
                row += 1;
            }
        }
        Ok(())
    }

    fn row_dim_error(&self, row: u64, found: i32) -> SourceError {
        let offset = self.layout.row_at(row);
        let error = FileError::RowDim {
            path: self.path.clone(),
            row,
            offset,
            expected: self.layout.width,
            found: i64::from(found),
        };
        SourceError::Read {
            path: self.path.clone(),
            offset,
            bytes: self.layout.prefix_bytes,
            source: io::Error::new(io::ErrorKind::InvalidData, error),
        }
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
        let row_bytes = self.layout.row_bytes();
        assert!(out.len().is_multiple_of(row_bytes), "a buffer holds whole rows");
        let rows = (out.len() / row_bytes) as u64; // CAST: usize is 64 bits here
        let end = first.saturating_add(rows);
        if end > self.layout.rows {
            return Err(SourceError::Range { name: self.name(), first, end, len: self.layout.rows });
        }
        if self.layout.prefix_bytes == 0 {
            self.read_at(self.layout.row_at(first), out)
        } else {
            self.read_prefixed(first, out)
        }
    }

    fn name(&self) -> String {
        self.path.display().to_string()
    }
}
