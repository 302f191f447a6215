//! Scores of queries with items, in a file and in memory.
use nalgebra::DMatrix;
use spandrel_index::{DIM_MAX, DType, VectorSource as _};

use super::error::CurError;
use super::limits::ITEMS_MAX;
use crate::file::{FileError, InFile, OutFile, VectorFile, VectorWriter};
use crate::watch::Watch;

/// Bytes of items that are written at once.
const WRITE_BYTES: usize = 4 << 20;

/// A file of scores: a row for each query, with a score for each item. Its header was checked, and nothing of it is in memory.
#[derive(Debug)]
pub struct ScoreFile(VectorFile);

impl ScoreFile {
    /// Opens a file of f32 numbers (fbin, fvecs or npy, which may hold f64) with at most [`ITEMS_MAX`] in a row.
    ///
    /// # Errors
    /// Those of [`VectorFile::open_as`], and another element type.
    pub fn open(from: InFile<'_>) -> Result<ScoreFile, FileError> {
        VectorFile::open_matrix(from, ITEMS_MAX).map(ScoreFile)
    }

    /// Queries.
    pub fn rows(&self) -> usize {
        usize::try_from(self.0.len()).unwrap_or(usize::MAX)
    }

    /// Items.
    pub fn columns(&self) -> usize {
        self.0.dim()
    }

    /// The file's path, for messages.
    pub fn name(&self) -> String {
        self.0.name()
    }

    /// Reads all scores. The caller has made sure that they fit memory.
    ///
    /// # Errors
    /// [`CurError::NotFinite`], and what reading answers.
    pub fn read(&self, watch: Watch<'_>) -> Result<ScoreMatrix, CurError> {
        let (rows, columns) = (self.rows(), self.columns());
        let mut values = Vec::with_capacity(rows * columns);
        let mut scores = Vec::new();
        for row in 0..rows {
            self.read_row(row, &mut scores)?;
            values.extend_from_slice(&scores);
            watch.step(row as u64 + 1, rows as u64)?; // CAST: widening
        }
        Ok(ScoreMatrix { rows, columns, values })
    }

    /// Replaces `out` with the scores of a query.
    ///
    /// # Errors
    /// [`CurError::NotFinite`], and what reading answers.
    pub(super) fn read_row(&self, row: usize, out: &mut Vec<f32>) -> Result<(), CurError> {
        let mut bytes = vec![0; 4 * self.columns()];
        self.0.read_rows(row as u64, &mut bytes)?; // CAST: widening
        out.clear();
        out.extend(bytes.as_chunks::<4>().0.iter().map(|&score| f32::from_le_bytes(score)));
        check_finite(out, row, self.columns(), || self.name())
    }
}

/// Finite scores of queries with items.
#[derive(Debug, Clone, PartialEq)]
pub struct ScoreMatrix {
    rows: usize,
    columns: usize,
    values: Vec<f32>,
}

impl ScoreMatrix {
    /// Scores row by row, each with `columns` of them; `name` is what messages call them.
    ///
    /// # Errors
    /// [`CurError::NotFinite`].
    ///
    /// # Panics
    /// When the scores are no whole rows.
    pub fn new(columns: usize, values: Vec<f32>, name: impl Fn() -> String) -> Result<ScoreMatrix, CurError> {
        assert!(columns > 0 && values.len().is_multiple_of(columns), "scores are whole rows");
        check_finite(&values, 0, columns, name)?;
        Ok(ScoreMatrix { rows: values.len() / columns, columns, values })
    }

    /// Queries.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Items.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Scores of a query with all items.
    pub fn row(&self, row: usize) -> &[f32] {
        &self.values[row * self.columns..(row + 1) * self.columns]
    }

    /// All scores, row by row.
    pub(super) fn into_values(self) -> Vec<f32> {
        self.values
    }

    /// Scores of some queries with some items, a query a row.
    pub(super) fn picked(&self, rows: &[usize], items: &[usize]) -> DMatrix<f64> {
        DMatrix::from_fn(rows.len(), items.len(), |i, j| f64::from(self.row(rows[i])[items[j]]))
    }

    /// Vectors of some items as bytes: what each of the queries scores them.
    pub(super) fn item_bytes(&self, queries: &[usize], items: impl Iterator<Item = usize>) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(4 * queries.len() * items.size_hint().0);
        for item in items {
            bytes.extend(queries.iter().flat_map(|&query| self.row(query)[item].to_le_bytes()));
        }
        bytes
    }

    /// Writes the vectors of all items, an element for each query, and says how many there are.
    ///
    /// # Errors
    /// [`CurError::ManyQueries`], and what writing answers; an older file is untouched then.
    pub fn write_items(&self, out: OutFile<'_>, watch: Watch<'_>) -> Result<u64, CurError> {
        if self.rows > DIM_MAX {
            return Err(CurError::ManyQueries { found: self.rows, max: DIM_MAX });
        }
        let mut writer = VectorWriter::create(out, DType::F32, self.rows)?;
        let queries: Vec<usize> = (0..self.rows).collect();
        let at_once = (WRITE_BYTES / (4 * self.rows)).max(1);
        for first in (0..self.columns).step_by(at_once) {
            let end = (first + at_once).min(self.columns);
            writer.write_rows(&self.item_bytes(&queries, first..end))?;
            watch.step(end as u64, self.columns as u64)?; // CAST: widening
        }
        Ok(writer.finish()?)
    }
}

/// Checks scores of whole rows, the first of them number `first`.
fn check_finite(
    scores: &[f32],
    first: usize,
    columns: usize,
    name: impl Fn() -> String,
) -> Result<(), CurError> {
    let Some(at) = scores.iter().position(|score| !score.is_finite()) else { return Ok(()) };
    let (row, column, value) = (first + at / columns, at % columns, scores[at]);
    Err(CurError::NotFinite { name: name(), row, column, value })
}
