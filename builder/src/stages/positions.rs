//! Where rows of the input are in the index.
//!
//! Ids are read again for it. They are compared with those that were checked, since two that changed places would give each other's vector
//! what is known of theirs.
use spandrel_index::IdFinder;
use spandrel_index::format::IdPages;

use super::hashes::IdsSum;
use super::section::Layouts;
use crate::phase_memory::POSITION_ROWS;
use crate::state::BuildState;
use crate::{BuildError, Input};

/// Positions of rows, which are asked for in ascending order: found by their ids, many at a time.
pub(super) struct Positions<'a> {
    input: Input<'a>,
    rows: u64,
    finder: IdFinder,
    /// First row of those that are known.
    first: u64,
    known: Vec<u32>,
    /// Their ids.
    ids: Vec<u64>,
    /// Rows whose ids were read, from the first on, and the sum of these.
    read: u64,
    ids_sum: IdsSum,
    expected: Option<String>,
}

impl<'a> Positions<'a> {
    pub(super) fn open(state: &'a BuildState<'a>) -> Result<Positions<'a>, BuildError> {
        let (params, target) = (state.params, state.target());
        let layout = IdPages { id_bytes: Layouts::new(params, state.checked()).id_bytes, uuid: target.uuid };
        let blob = target.store.open(&state.ids().file)?;
        let finder = IdFinder::open(blob, layout, params.vectors)?;
        Ok(Positions {
            input: state.input,
            rows: params.vectors,
            finder,
            first: 0,
            known: Vec::new(),
            ids: Vec::new(),
            read: 0,
            ids_sum: IdsSum::default(),
            expected: state.checked().ids_sum.clone(),
        })
    }

    pub(super) fn of(&mut self, row: u64) -> Result<u32, BuildError> {
        assert!((self.first..self.rows).contains(&row), "rows ascend, and are rows of vectors");
        if row - self.first >= self.known.len() as u64 {
            self.find(row)?;
        }
        Ok(self.known[(row - self.first) as usize]) // CAST: usize is 64 bits
    }

    /// The id of a row whose position was asked for last.
    pub(super) fn id(&self, row: u64) -> u64 {
        self.ids[(row - self.first) as usize] // CAST: usize is 64 bits
    }

    /// Call it after the last row.
    ///
    /// # Errors
    /// [`BuildError::Changed`] where ids are not those that were checked.
    pub(super) fn finish(mut self) -> Result<(), BuildError> {
        // Rows of which nothing is known were not asked for.
        self.read_to(self.rows)?;
        let read = self.ids_sum.finish();
        // An earlier version's checkpoint has none.
        if self.expected.is_some_and(|expected| read != expected) {
            return Err(BuildError::Changed { name: self.input.vectors.name() });
        }
        Ok(())
    }

    /// Reads the ids of the rows before `end` that were passed over.
    fn read_to(&mut self, end: u64) -> Result<(), BuildError> {
        let mut ids = Vec::new();
        while let Some(source) = self.input.row_ids().filter(|_| self.read < end) {
            ids.resize(POSITION_ROWS.min(end - self.read) as usize, 0); // CAST: at most POSITION_ROWS
            source.read_ids(self.read, &mut ids)?;
            self.ids_sum.add(self.read, &ids);
            self.read += ids.len() as u64; // CAST: widening
        }
        Ok(())
    }

    fn find(&mut self, first: u64) -> Result<(), BuildError> {
        let count = POSITION_ROWS.min(self.rows - first) as usize; // CAST: at most POSITION_ROWS
        self.read_to(first)?;
        self.ids.clear();
        self.ids.extend((first..).take(count));
        if let Some(source) = self.input.row_ids() {
            source.read_ids(first, &mut self.ids)?;
            self.ids_sum.add(first, &self.ids);
            self.read = first + count as u64; // CAST: widening
        }
        let mut sorted: Vec<(u64, u32)> = self.ids.iter().copied().zip(0..).collect();
        sorted.sort_unstable();
        (self.ids.iter_mut()).zip(&sorted).for_each(|(id, &(next, _))| *id = next);
        let mut of_id = sorted.iter();
        self.known.clear();
        self.known.resize(count, 0);
        let (known, changed) = (&mut self.known, self.input.vectors.name());
        self.finder.find::<BuildError>(
            &self.ids,
            || Ok(()),
            |_, position| {
                let (Some(position), Some(&(_, at))) = (position, of_id.next()) else {
                    return Err(BuildError::Changed { name: changed.clone() });
                };
                known[at as usize] = position;
                Ok(())
            },
        )?;
        // Back to the order of rows.
        sorted.iter().for_each(|&(id, at)| self.ids[at as usize] = id);
        self.first = first;
        Ok(())
    }
}
