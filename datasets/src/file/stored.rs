//! Rows as a file stores them, given out row by row and little-endian.
#![deny(clippy::indexing_slicing)]
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use fs_err::File;
use spandrel_index::SourceError;

use super::FileError;
use super::element::Element;
use super::layout::Layout;

/// Bytes read at once of rows that need work.
const CHUNK_BYTES: usize = 4 << 20;

/// An open file and where its rows lie.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stored<'a> {
    pub(super) path: &'a Path,
    pub(super) file: &'a File,
    pub(super) layout: &'a Layout,
}

/// Stands in place of a neighbour that is not there.
pub(super) const NONE: u64 = u64::MAX;

/// An element of a file.
#[derive(Debug, Clone, Copy)]
struct At {
    row: u64,
    column: usize,
}

impl Stored<'_> {
    /// Rows that are read at once where they need work after that.
    pub(super) fn rows_at_once(&self) -> u64 {
        (CHUNK_BYTES as u64 / self.layout.stride()).max(1) // CAST: widening
    }

    /// Fills `out` with the elements of whole rows, from row `first` on.
    pub(super) fn read(&self, first: u64, out: &mut [u8]) -> Result<(), SourceError> {
        if self.layout.prefix_bytes > 0 {
            self.read_prefixed(first, out)?;
        } else if self.layout.order.by_column {
            self.read_columns(first, out)?;
        } else {
            self.read_at(self.layout.row_at(first), out)?;
        }
        if self.layout.order.big_endian {
            out.chunks_exact_mut(self.layout.element.bytes()).for_each(<[u8]>::reverse);
        }
        Ok(())
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> Result<(), SourceError> {
        let (bytes, path) = (out.len(), self.path.to_owned());
        let read = self.file.file().read_exact_at(out, offset);
        read.map_err(|source| SourceError::Read { path, offset, bytes, source })
    }

    /// Reads rows that each carry their own length, which must be that of the first row.
    fn read_prefixed(&self, first: u64, out: &mut [u8]) -> Result<(), SourceError> {
        let (prefix, row_bytes) = (self.layout.prefix_bytes, self.layout.row_bytes());
        let stride = prefix + row_bytes;
        let rows_at_once = (CHUNK_BYTES / stride).max(1);
        let mut scratch = vec![0; stride * rows_at_once.min(out.len() / row_bytes)];
        let mut row = first;
        for out in out.chunks_mut(rows_at_once * row_bytes) {
            let (scratch, _) = scratch.split_at_mut(out.len() / row_bytes * stride);
            self.read_at(self.layout.row_at(row), scratch)?;
            for (from, to) in scratch.chunks_exact(stride).zip(out.chunks_exact_mut(row_bytes)) {
                let (length, elements) = from.split_at(prefix);
                let length = length.first_chunk().map_or(0, |&bytes| i32::from_le_bytes(bytes));
                if usize::try_from(length) != Ok(self.layout.width) {
                    let error = FileError::RowDim {
                        path: self.path.to_owned(),
                        row,
                        offset: self.layout.row_at(row),
                        expected: self.layout.width,
                        found: i64::from(length),
                    };
                    return Err(self.invalid(self.layout.row_at(row), prefix, error));
                }
                to.copy_from_slice(elements);
                row += 1;
            }
        }
        Ok(())
    }

    /// Reads a part of each column, and lays the parts side by side.
    fn read_columns(&self, first: u64, out: &mut [u8]) -> Result<(), SourceError> {
        let (element, row_bytes) = (self.layout.element.bytes(), self.layout.row_bytes());
        let mut scratch = vec![0; out.len() / self.layout.width];
        for column in 0..self.layout.width {
            // CAST: widening, here and below
            let at = (column as u64 * self.layout.rows + first) * element as u64;
            self.read_at(self.layout.data_at + at, &mut scratch)?;
            for (from, row) in scratch.chunks_exact(element).zip(out.chunks_exact_mut(row_bytes)) {
                if let Some(to) = row.get_mut(column * element..(column + 1) * element) {
                    to.copy_from_slice(from);
                }
            }
        }
        Ok(())
    }

    /// What is in the file is wrong, where `bytes` were read at `offset`.
    fn invalid(&self, offset: u64, bytes: usize, error: FileError) -> SourceError {
        let source = io::Error::new(io::ErrorKind::InvalidData, error);
        SourceError::Read { path: self.path.to_owned(), offset, bytes, source }
    }

    /// Appends the ids of `rows` rows, from row `first` on; none may be negative.
    pub(super) fn read_ids(&self, first: u64, rows: u64, ids: &mut Vec<u64>) -> Result<(), SourceError> {
        self.read_numbers(first, rows, |at, number| {
            let id = u64::try_from(number).ok().filter(|&id| id != u64::MAX);
            ids.push(id.ok_or_else(|| self.bad_id(at, number))?);
            Ok(())
        })
    }

    /// Like [`Stored::read_ids`], of true neighbours: after those of a query -1 may stand, which is read as [`NONE`].
    pub(super) fn read_truth(&self, first: u64, rows: u64, ids: &mut Vec<u64>) -> Result<(), SourceError> {
        let Element::Id { bytes, .. } = self.layout.element else { unreachable!("opened as a file of ids") };
        let all_bits = if bytes == 4 { i128::from(u32::MAX) } else { i128::from(u64::MAX) };
        let mut is_short = false;
        self.read_numbers(first, rows, |at, number| {
            let is_none = number == -1 || number == all_bits;
            is_short = is_none || is_short && at.column > 0;
            let id = u64::try_from(number).ok().filter(|_| !is_short);
            ids.push(match id {
                None if is_none => NONE,
                None if is_short => {
                    return Err(self.bad_element(
                        at,
                        FileError::AfterLast {
                            path: self.path.to_owned(),
                            row: at.row,
                            offset: self.offset_of(at.row, at.column),
                            found: number,
                        },
                    ));
                }
                id => id.ok_or_else(|| self.bad_id(at, number))?,
            });
            Ok(())
        })
    }

    /// Calls `each` with the numbers of `rows` rows, from row `first` on.
    fn read_numbers(
        &self,
        first: u64,
        rows: u64,
        mut each: impl FnMut(At, i128) -> Result<(), SourceError>,
    ) -> Result<(), SourceError> {
        let Element::Id { bytes, signed } = self.layout.element else {
            unreachable!("opened as a file of ids")
        };
        let row_bytes = self.layout.row_bytes();
        let mut stored = vec![0; rows as usize * row_bytes]; // CAST: rows that were checked against the file's length
        self.read(first, &mut stored)?;
        for (row, elements) in (first..).zip(stored.chunks_exact(row_bytes)) {
            for (column, element) in elements.chunks_exact(bytes).enumerate() {
                let value = match element.first_chunk::<8>() {
                    Some(&wide) if signed => i64::from_le_bytes(wide).into(),
                    Some(&wide) => u64::from_le_bytes(wide).into(),
                    None if signed => i32::from_le_bytes(narrow(element)).into(),
                    None => u32::from_le_bytes(narrow(element)).into(),
                };
                each(At { row, column }, value)?;
            }
        }
        Ok(())
    }

    fn bad_id(&self, at: At, found: i128) -> SourceError {
        let offset = self.offset_of(at.row, at.column);
        self.bad_element(at, FileError::Id { path: self.path.to_owned(), row: at.row, offset, found })
    }

    fn bad_element(&self, at: At, error: FileError) -> SourceError {
        self.invalid(self.offset_of(at.row, at.column), self.layout.element.bytes(), error)
    }

    /// Where an element lies.
    fn offset_of(&self, row: u64, column: usize) -> u64 {
        // CAST: widening, here and below
        let (element, column) = (self.layout.element.bytes() as u64, column as u64);
        match self.layout.order.by_column {
            true => self.layout.data_at + (column * self.layout.rows + row) * element,
            false => self.layout.row_at(row) + self.layout.prefix_bytes as u64 + column * element,
        }
    }
}

fn narrow(element: &[u8]) -> [u8; 4] {
    element.first_chunk().copied().unwrap_or_default()
}

/// What was wrong with the file, where reading its rows found that.
pub(super) fn file_error(error: SourceError) -> FileError {
    match error {
        SourceError::Read { path, offset, bytes, source } => match source.downcast::<FileError>() {
            Ok(error) => error,
            Err(source) => FileError::Read { path, offset, bytes, source },
        },
        other => FileError::Source(other),
    }
}
