//! Where rows of the input are in the index.
use spandrel_index::IdFinder;
use spandrel_index::format::IdPages;

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
}

impl<'a> Positions<'a> {
    pub(super) fn open(state: &'a BuildState<'a>) -> Result<Positions<'a>, BuildError> {
        let (params, target) = (state.params, state.target());
        let layout = IdPages { id_bytes: Layouts::new(params, state.checked()).id_bytes, uuid: target.uuid };
        let blob = target.store.open(&state.ids().file)?;
        let finder = IdFinder::open(blob, layout, params.vectors)?;
        Ok(Positions { input: state.input, rows: params.vectors, finder, first: 0, known: Vec::new() })
    }

    pub(super) fn of(&mut self, row: u64) -> Result<u32, BuildError> {
        assert!((self.first..self.rows).contains(&row), "rows ascend, and are rows of vectors");
        if row - self.first >= self.known.len() as u64 {
            self.find(row)?;
        }
        Ok(self.known[(row - self.first) as usize]) // CAST: one of those known
    }

    fn find(&mut self, first: u64) -> Result<(), BuildError> {
        let count = POSITION_ROWS.min(self.rows - first) as usize; // CAST: at most POSITION_ROWS
        let mut ids: Vec<u64> = (first..).take(count).collect();
        if let Some(source) = self.input.ids {
            source.read_ids(first, &mut ids)?;
        }
        let mut sorted: Vec<(u64, u32)> = ids.iter().copied().zip(0..).collect();
        sorted.sort_unstable();
        (ids.iter_mut()).zip(&sorted).for_each(|(id, &(next, _))| *id = next);
        let mut of_id = sorted.iter();
        self.known.clear();
        self.known.resize(count, 0);
        let (known, changed) = (&mut self.known, self.input.vectors.name());
        self.finder.find::<BuildError>(
            &ids,
            || Ok(()),
            |_, position| {
                let (Some(position), Some(&(_, at))) = (position, of_id.next()) else {
                    return Err(BuildError::Changed { name: changed.clone() });
                };
                known[at as usize] = position;
                Ok(())
            },
        )?;
        self.first = first;
        Ok(())
    }
}
