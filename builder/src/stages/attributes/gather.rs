//! Scans the rows once: each value with its position, sorted in runs.

use spandrel_filter::Cell;

use super::collector::{Collector, Texts};
use super::hash::RowHash;
use super::scan::scan_rows;
use crate::checkpoint::{ATTRIBUTE_RUNS, Gathered};
use crate::spill::SpillWriter;
use crate::stages::positions::Positions;
use crate::state::BuildState;
use crate::{Attributes, BuildError};

pub(crate) fn gather(state: &BuildState<'_>) -> Result<Gathered, BuildError> {
    let &BuildState { params, input, context, .. } = state;
    let Some(Attributes { source, .. }) = input.attributes else {
        unreachable!("the phase is of builds with attributes")
    };
    context.progress.phase("gather", params.items(), "rows");
    let mut gathering = Gathering::open(state)?;
    scan_rows(source, params.items(), context, &mut |row, cells| gathering.push(row, cells))?;
    gathering.finish()
}

struct Gathering<'a> {
    state: &'a BuildState<'a>,
    /// Of the vectors; a document is at the position of its number.
    positions: Option<Positions<'a>>,
    hash: RowHash,
    collectors: Vec<Collector>,
    /// Bytes that the collectors take.
    held_bytes: usize,
    spill: SpillWriter,
    runs: Vec<u16>,
}

impl<'a> Gathering<'a> {
    fn open(state: &'a BuildState<'a>) -> Result<Gathering<'a>, BuildError> {
        let kinds = state.params.attributes.iter().map(|attribute| attribute.kind);
        let collector = |is_number| match is_number {
            true => Collector::Numbers(Vec::new()),
            false => Collector::Texts(Texts::default()),
        };
        Ok(Gathering {
            state,
            positions: match state.input.documents {
                Some(_) => None,
                None => Some(Positions::open(state)?),
            },
            hash: RowHash::new(),
            collectors: kinds.map(|kind| collector(kind.is_number())).collect(),
            held_bytes: 0,
            spill: SpillWriter::create(&*state.scratch, ATTRIBUTE_RUNS, 0, 1, 0)?,
            runs: Vec::new(),
        })
    }

    fn push(&mut self, row: u64, cells: &[Cell]) -> Result<(), BuildError> {
        self.hash.add(row, cells);
        let position = match &mut self.positions {
            Some(positions) => positions.of(row)?,
            None => row as u32, // CAST: documents are u32
        };
        for (collector, cell) in self.collectors.iter_mut().zip(cells) {
            let before = collector.memory_bytes();
            match collector {
                Collector::Texts(texts) => cell.texts().for_each(|text| texts.push(text, position)),
                Collector::Numbers(numbers) => numbers.extend(cell.key().map(|key| (position, key))),
            }
            // A table that grew may take less than it did beside the one before.
            self.held_bytes = self.held_bytes + collector.memory_bytes() - before;
        }
        if self.held_bytes as u64 > self.state.plan.run_bytes { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), BuildError> {
        for (number, collector) in (0..).zip(&mut self.collectors) {
            if collector.flush(&mut self.spill)? {
                self.runs.push(number);
            }
        }
        self.held_bytes = 0;
        Ok(())
    }

    fn finish(mut self) -> Result<Gathered, BuildError> {
        self.flush()?;
        self.positions.take().map_or(Ok(()), Positions::finish)?;
        let input = self.state.input.attributes;
        if Some(self.hash.finish()) != self.state.checked().attributes_hash {
            let name = input.map(|attributes| attributes.source.name()).unwrap_or_default();
            return Err(BuildError::Changed { name });
        }
        Ok(Gathered { spill: self.spill.finish()?, runs: self.runs })
    }
}
