//! Tags in a sparse matrix, as big-ann-benchmarks has them.
//!
//! ```text
//! 0   8 rows    8 8 columns    16 8 entries (nnz)                 i64
//! 24    starts: where each row's entries begin, then their count  (rows + 1) x i64
//! .     columns of the entries                                    entries x i32
//! .     values of the entries                                     entries x f32
//! ```
//! Little-endian. Every column is a tag, called by its number. An entry of value 0 is no tag.
#![deny(clippy::indexing_slicing)]
use std::ops::ControlFlow;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use fs_err::File;
use spandrel_filter::{Attribute, AttributeType, Cell, Schema, TAGS_MAX, Tags};
use spandrel_index::{AttributeSource, AttributeSourceError};

use super::error::{AttributeFileError, Place, RowProblem};
use crate::watch::Watch;

/// What the attribute is called without a schema.
pub(super) const TAGS: &str = "tags";
const HEADER_BYTES: u64 = 24;
const FIELDS: [&str; 3] = ["rows", "columns", "entries"];
/// Rows whose starts are read at once.
const ROWS_AT_ONCE: u64 = 4_096;
/// Entries read at once, one row's or more.
const ENTRIES_AT_ONCE: u64 = 1 << 18;

/// Takes a row's number and its tags.
type EachRow<'a> = &'a mut dyn FnMut(u64, &[u32]) -> Result<ControlFlow<()>, RowProblem>;

/// A matrix, open for reading.
#[derive(Debug)]
pub(super) struct Matrix {
    path: PathBuf,
    file: File,
    pub(super) rows: u64,
    columns: u64,
    entries: u64,
}

impl Matrix {
    /// Opens a file and checks its header against its length.
    pub(super) fn open(path: &Path) -> Result<Matrix, AttributeFileError> {
        let file = File::open(path)?;
        let found = file.metadata()?.len();
        if found < HEADER_BYTES {
            return Err(AttributeFileError::Short { path: path.to_owned(), found });
        }
        let mut header = [0; HEADER_BYTES as usize];
        file.file().read_exact_at(&mut header, 0)?;
        let mut counts = [0; 3];
        let words = header.as_chunks::<8>().0.iter().map(|&word| i64::from_le_bytes(word));
        for (((count, word), field), max) in
            counts.iter_mut().zip(words).zip(FIELDS).zip([1 << 40, 1 << 31, 1 << 48])
        {
            *count = u64::try_from(word).ok().filter(|&word| word <= max).ok_or_else(|| {
                AttributeFileError::Header {
                    path: path.to_owned(),
                    field,
                    offset: FIELDS.iter().take_while(|name| **name != field).count() as u64 * 8, // CAST: widening
                    expected: format!("0..={max}"),
                    found: word.to_string(),
                }
            })?;
        }
        let [rows, columns, entries] = counts;
        let expected = HEADER_BYTES + (rows + 1) * 8 + entries * 8;
        if expected != found {
            return Err(AttributeFileError::Size {
                path: path.to_owned(),
                counts,
                expected: expected.into(),
                found,
            });
        }
        Ok(Matrix { path: path.to_owned(), file, rows, columns, entries })
    }

    /// Calls `each` with the number of each row and the columns of its entries: ascending, each once, without those of
    /// value 0. Progress counts rows.
    pub(super) fn for_each_row(&self, watch: Watch<'_>, each: EachRow<'_>) -> Result<(), AttributeFileError> {
        let mut end_before = 0;
        let mut first = 0;
        while first < self.rows {
            watch.step(first, self.rows)?;
            let rows = ROWS_AT_ONCE.min(self.rows - first);
            let starts = self.starts(first, rows, end_before)?;
            end_before = starts.last().copied().unwrap_or_default();
            let mut from = 0;
            while let Some(group) = starts.get(from..).filter(|group| group.len() > 1) {
                let most = group.first().copied().unwrap_or_default() + ENTRIES_AT_ONCE;
                // One row at least, which has no more entries than a row may.
                let taken = group.partition_point(|&start| start <= most).max(2).min(group.len());
                let group = group.get(..taken).unwrap_or_default();
                // CAST: widening
                if self.rows_of(first + from as u64, group, each)?.is_break() {
                    return Ok(());
                }
                from += taken - 1;
            }
            first += rows;
        }
        (watch.progress)(self.rows, self.rows);
        if end_before != self.entries {
            return Err(self.place(self.rows, start_problem(end_before, self.entries, self.entries)));
        }
        Ok(())
    }

    /// Where the entries of some rows begin, and where those of the last end.
    fn starts(&self, first: u64, rows: u64, end_before: u64) -> Result<Vec<u64>, AttributeFileError> {
        let mut bytes = vec![0; (rows as usize + 1) * 8]; // CAST: at most ROWS_AT_ONCE
        self.file.file().read_exact_at(&mut bytes, HEADER_BYTES + first * 8)?;
        let mut least = end_before;
        let mut starts = Vec::with_capacity(bytes.len() / 8);
        for (row, &word) in (first..).zip(bytes.as_chunks::<8>().0) {
            let found = i64::from_le_bytes(word);
            let start = u64::try_from(found).ok().filter(|start| (least..=self.entries).contains(start));
            // The first start of all is 0, and that of a chunk is the end of the one before.
            let start = start.filter(|&start| row > first || start == end_before);
            let bad = || RowProblem::Start { found, least, most: self.entries };
            let start = start.ok_or_else(|| self.place(row, bad()))?;
            if !starts.is_empty() && start - least > TAGS_MAX as u64 {
                let tags = (start - least) as usize; // CAST: entries of a file
                return Err(self.place(row - 1, RowProblem::Tags { name: TAGS.to_owned(), tags }));
            }
            starts.push(start);
            least = start;
        }
        Ok(starts)
    }

    /// The rows whose entries begin at all `starts` but the last.
    fn rows_of(
        &self,
        first: u64,
        starts: &[u64],
        each: EachRow<'_>,
    ) -> Result<ControlFlow<()>, AttributeFileError> {
        let (from, to) =
            (starts.first().copied().unwrap_or_default(), starts.last().copied().unwrap_or_default());
        let columns_at = HEADER_BYTES + (self.rows + 1) * 8;
        let mut columns = vec![0; (to - from) as usize * 4]; // CAST: about ENTRIES_AT_ONCE
        let mut values = columns.clone();
        self.file.file().read_exact_at(&mut columns, columns_at + from * 4)?;
        self.file.file().read_exact_at(&mut values, columns_at + self.entries * 4 + from * 4)?;
        let (columns, values) = (columns.as_chunks::<4>().0, values.as_chunks::<4>().0);
        let mut entries = columns.iter().zip(values);
        let mut tags = Vec::new();
        for (row, bounds) in (first..).zip(starts.windows(2)) {
            let &[start, end] = bounds else { continue };
            tags.clear();
            for (&column, &value) in entries.by_ref().take((end - start) as usize) {
                // CAST: as above
                let found = i32::from_le_bytes(column);
                let column = u32::try_from(found).ok().filter(|&column| u64::from(column) < self.columns);
                let bad = || RowProblem::Column { found, columns: self.columns };
                let column = column.ok_or_else(|| self.place(row, bad()))?;
                if f32::from_le_bytes(value) != 0.0 {
                    tags.push(column);
                }
            }
            tags.sort_unstable();
            tags.dedup();
            if each(row, &tags).map_err(|problem| self.place(row, problem))?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    fn place(&self, row: u64, problem: RowProblem) -> AttributeFileError {
        AttributeFileError::Place { path: self.path.clone(), place: Place::Row(row), problem }
    }
}

fn start_problem(found: u64, least: u64, most: u64) -> RowProblem {
    // CAST: checked to be in range of the file's entries
    RowProblem::Start { found: found as i64, least, most }
}

/// A matrix with a row for each vector.
#[derive(Debug)]
pub struct TagMatrix {
    matrix: Matrix,
    schema: Schema,
}

impl TagMatrix {
    /// Opens a matrix and checks all of it. Its attribute is called `tags`, or as a given schema says.
    ///
    /// # Errors
    /// A file that cannot be read, is no matrix, or is of another number of rows; a schema of anything but one attribute of
    /// tags; the stop flag.
    pub fn open(
        path: impl AsRef<Path>,
        rows: u64,
        schema: Option<Schema>,
        watch: Watch<'_>,
    ) -> Result<TagMatrix, AttributeFileError> {
        let path = path.as_ref();
        let default = || Schema::new(vec![Attribute { name: TAGS.to_owned(), kind: AttributeType::Tags }]);
        let schema = match schema {
            Some(schema) => schema,
            None => {
                default().map_err(|source| AttributeFileError::Names { path: path.to_owned(), source })?
            }
        };
        if !matches!(schema.attributes(), [Attribute { kind: AttributeType::Tags, .. }]) {
            return Err(AttributeFileError::MatrixSchema { path: path.to_owned() });
        }
        let matrix = Matrix::open(path)?;
        if matrix.rows != rows {
            let path = path.to_owned();
            return Err(AttributeFileError::Rows { path, found: matrix.rows, expected: rows });
        }
        matrix.for_each_row(watch, &mut |_, _| Ok(ControlFlow::Continue(())))?;
        Ok(TagMatrix { matrix, schema })
    }
}

impl AttributeSource for TagMatrix {
    fn schema(&self) -> &Schema {
        &self.schema
    }

    fn len(&self) -> u64 {
        self.matrix.rows
    }

    fn scan(
        &self,
        each: &mut dyn FnMut(u64, &[Cell]) -> ControlFlow<()>,
    ) -> Result<(), AttributeSourceError> {
        Ok(self.matrix.for_each_row(Watch::none(), &mut |row, columns| {
            if columns.is_empty() {
                return Ok(ControlFlow::Continue(()));
            }
            Ok(each(row, &[Cell::Tags(columns.iter().collect::<Tags>())]))
        })?)
    }

    fn name(&self) -> String {
        self.matrix.path.display().to_string()
    }
}

#[cfg(test)]
mod tests;
