//! Which row an id belongs to, for ids that come in the order of the rows.
use super::error::{AttributeFileError, RowProblem};
use crate::file::IdFile;

/// Ids read at once.
const CHUNK: u64 = 1 << 16;

/// The vectors that attributes belong to.
#[derive(Debug, Clone, Copy)]
pub struct BaseRows<'a> {
    /// How many there are.
    pub rows: u64,
    /// Their ids; row numbers where there are none.
    pub ids: Option<&'a IdFile>,
}

/// Finds the rows of ids, in one walk over the ids of the vectors.
pub(super) struct RowIds<'a> {
    base: BaseRows<'a>,
    /// The row after that of the last id.
    next: u64,
    last: u64,
    /// Ids of some rows, from row `chunk_first` on.
    chunk: Vec<u64>,
    chunk_first: u64,
}

impl<'a> RowIds<'a> {
    pub(super) fn new(base: BaseRows<'a>) -> RowIds<'a> {
        RowIds { base, next: 0, last: 0, chunk: Vec::new(), chunk_first: 0 }
    }

    /// The row of an id. The inner error says what is wrong with the id.
    pub(super) fn row(&mut self, id: u64) -> Result<Result<u64, RowProblem>, AttributeFileError> {
        let found = match self.base.ids {
            None => Some(id).filter(|id| (self.next..self.base.rows).contains(id)),
            Some(ids) => self.find(ids, id, self.next..self.base.rows)?,
        };
        if let Some(row) = found {
            (self.next, self.last) = (row + 1, id);
            return Ok(Ok(row));
        }
        let is_earlier = match self.base.ids {
            None => id < self.next,
            Some(ids) => self.find(ids, id, 0..self.next)?.is_some(),
        };
        Ok(Err(match is_earlier {
            true => RowProblem::Order { id, last: self.last },
            false => RowProblem::UnknownId { id, rows: self.base.rows },
        }))
    }

    /// The first of some rows that has an id.
    fn find(
        &mut self,
        ids: &IdFile,
        id: u64,
        rows: std::ops::Range<u64>,
    ) -> Result<Option<u64>, AttributeFileError> {
        let mut row = rows.start;
        while row < rows.end {
            // CAST: within a chunk
            let at = row.wrapping_sub(self.chunk_first) as usize;
            if row < self.chunk_first || at >= self.chunk.len() {
                self.chunk_first = row;
                self.chunk.resize(CHUNK.min(self.base.rows - row) as usize, 0); // CAST: at most a chunk
                ids.read_ids(row, &mut self.chunk)?;
                continue;
            }
            let left = (rows.end - row).min((self.chunk.len() - at) as u64) as usize; // CAST: at most a chunk
            let part = self.chunk.get(at..at + left).unwrap_or_default();
            if let Some(found) = part.iter().position(|&other| other == id) {
                return Ok(Some(row + found as u64)); // CAST: widening
            }
            row += left as u64; // CAST: widening
        }
        Ok(None)
    }
}
