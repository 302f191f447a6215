//! Sparse matrices of ones, as big-ann-benchmarks has them for tags.
use std::io::{BufWriter, Write as _};
use std::path::Path;

use crate::file::{FileError, OutputFile};

/// The tags of rows, which are vectors or queries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Matrix {
    columns: usize,
    /// Where each row ends in `tags`.
    ends: Vec<usize>,
    tags: Vec<u32>,
}

impl Matrix {
    /// The tags of each row, ascending, all below `columns`.
    pub fn of(rows: &[Vec<u32>], columns: usize) -> Matrix {
        let mut matrix = Matrix { columns, ends: Vec::with_capacity(rows.len()), tags: Vec::new() };
        for tags in rows {
            matrix.tags.extend(tags);
            matrix.ends.push(matrix.tags.len());
        }
        matrix
    }

    /// The columns of each row, from the rows of each column.
    pub(super) fn transposed(members: &[Vec<u32>], rows: usize) -> Matrix {
        let mut ends = vec![0; rows + 1];
        members.iter().flatten().for_each(|&row| ends[row as usize + 1] += 1);
        for row in 0..rows {
            ends[row + 1] += ends[row];
        }
        let mut tags = vec![0; ends[rows]];
        for (tag, rows) in (0..).zip(members) {
            for &row in rows {
                // What began as the start of the row is its end when all tags have passed.
                let at = &mut ends[row as usize];
                tags[*at] = tag;
                *at += 1;
            }
        }
        ends.truncate(rows);
        Matrix { columns: members.len(), ends, tags }
    }

    /// Rows of the matrix: one a vector or query.
    pub fn rows(&self) -> usize {
        self.ends.len()
    }

    /// Number of columns: one for each tag.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Tags of all rows together.
    pub fn entries(&self) -> usize {
        self.tags.len()
    }

    /// The tags of one row, ascending.
    ///
    /// # Panics
    /// When there is no such row.
    pub fn row(&self, row: usize) -> &[u32] {
        let start = row.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.tags[start..self.ends[row]]
    }

    /// Writes the matrix in the layout `.spmat`:
    ///
    /// ```text
    /// i64 rows, i64 columns, i64 entries, i64 start of each row and the end of the last, i32 column and then f32 value (1) of each entry
    /// ```
    ///
    /// # Errors
    /// What the file system answers; an older file is untouched then.
    pub fn write(&self, path: &Path) -> Result<(), FileError> {
        let mut out = BufWriter::new(OutputFile::create(path, 0)?);
        let counts = [self.rows(), self.columns, self.entries(), 0];
        for count in counts.iter().chain(&self.ends) {
            out.write_all(&(*count as u64).to_le_bytes())?; // CAST: usize is 64 bits here
        }
        for tag in &self.tags {
            out.write_all(&tag.to_le_bytes())?;
        }
        for _ in &self.tags {
            out.write_all(&1.0_f32.to_le_bytes())?;
        }
        let out = out.into_inner().map_err(|error| error.into_error())?;
        Ok(out.finish(&[])?)
    }

    /// Writes a line of JSON for each row, made by `line` from its number and tags.
    ///
    /// # Errors
    /// As [`Matrix::write`].
    pub fn write_lines(&self, path: &Path, line: impl Fn(usize, &[u32]) -> String) -> Result<(), FileError> {
        let mut out = BufWriter::new(OutputFile::create(path, 0)?);
        for row in 0..self.rows() {
            writeln!(out, "{}", line(row, self.row(row)))?;
        }
        let out = out.into_inner().map_err(|error| error.into_error())?;
        Ok(out.finish(&[])?)
    }
}
