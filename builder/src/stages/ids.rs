//! Sorts pairs of id and position: runs sorted in memory while the vectors are written, merged afterwards.
use std::cmp::Reverse;
use std::collections::BinaryHeap;

use spandrel_index::format::{ID_PAGE_BYTES, IdPages, SectionKind};
use spandrel_io::{FileWriter, Store};

use super::section::{Layouts, SectionOf, SectionShape, finish_section};
use crate::BuildError;
use crate::checkpoint::{ID_RUNS, Section};
use crate::config::Params;
use crate::phase_memory::RUN_PAIRS;
use crate::spill::{Spill, SpillReader, SpillWriter, buffer_records_min};
use crate::state::BuildState;

/// Bytes of a pair in scratch: id and position.
const PAIR_BYTES: usize = 12;

/// Writes sorted runs of pairs, each a group of a spill file.
pub(super) struct IdRuns {
    spill: SpillWriter,
    run: Vec<(u64, u32)>,
    /// Runs written.
    runs: usize,
}

impl IdRuns {
    pub(super) fn create(params: &Params, scratch: &dyn Store) -> Result<IdRuns, BuildError> {
        let runs = params.vectors.div_ceil(RUN_PAIRS as u64) as usize; // CAST: usize is 64 bits
        let spill = SpillWriter::create(scratch, ID_RUNS, runs, PAIR_BYTES, 0)?;
        Ok(IdRuns { spill, run: Vec::new(), runs: 0 })
    }

    pub(super) fn push(&mut self, id: u64, position: u32) -> Result<(), BuildError> {
        self.run.push((id, position));
        if self.run.len() == RUN_PAIRS { self.finish_run() } else { Ok(()) }
    }

    fn finish_run(&mut self) -> Result<(), BuildError> {
        self.run.sort_unstable();
        for (id, position) in self.run.drain(..) {
            self.spill.push(self.runs, &[&id.to_le_bytes(), &position.to_le_bytes()])?;
        }
        self.spill.finish_group(self.runs)?;
        self.runs += 1;
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<Spill, BuildError> {
        if !self.run.is_empty() {
            self.finish_run()?;
        }
        self.spill.finish()
    }
}

/// One sorted run being read.
struct Run {
    group: usize,
    next: u64,
    buffer: Vec<(u64, u32)>,
    at: usize,
}

impl Run {
    fn take(&mut self, spill: &SpillReader) -> Result<Option<(u64, u32)>, BuildError> {
        if self.at == self.buffer.len() {
            // An extent at a time.
            let pairs = buffer_records_min(PAIR_BYTES) as u64; // CAST: widening
            let end = (self.next + pairs).min(spill.records(self.group));
            if self.next == end {
                return Ok(None);
            }
            let mut bytes = Vec::new();
            spill.read(self.group, self.next..end, &mut bytes)?;
            self.buffer.clear();
            for pair in bytes.as_chunks::<PAIR_BYTES>().0 {
                let [a, b, c, d, e, f, g, h, position @ ..] = *pair;
                let id = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
                self.buffer.push((id, u32::from_le_bytes(position)));
            }
            self.next = end;
            self.at = 0;
        }
        let pair = self.buffer[self.at];
        self.at += 1;
        Ok(Some(pair))
    }
}

pub(crate) fn ids(state: &BuildState<'_>) -> Result<Section, BuildError> {
    let &BuildState { params, context, ref scratch, .. } = state;
    let target = state.target();
    context.progress.phase("ids", params.vectors, "ids");
    let spill = SpillReader::open(&**scratch, ID_RUNS, &state.written().id_runs)?;
    let mut runs: Vec<Run> =
        (0..spill.groups()).map(|group| Run { group, next: 0, buffer: Vec::new(), at: 0 }).collect();
    let mut heads = BinaryHeap::new();
    for (number, run) in runs.iter_mut().enumerate() {
        if let Some(pair) = run.take(&spill)? {
            heads.push(Reverse((pair, number)));
        }
    }
    let pages = IdPages { id_bytes: Layouts::new(params, state.checked()).id_bytes, uuid: target.uuid };
    let mut writer = target.create(SectionKind::Ids)?;
    let (mut page, mut first_ids) = (Vec::new(), Vec::new());
    let mut last = None;
    while let Some(Reverse((pair, number))) = heads.pop() {
        if last == Some(pair.0) {
            return Err(BuildError::DuplicateId { id: pair.0 });
        }
        last = Some(pair.0);
        page.push(pair);
        if page.len() == pages.page_entries() {
            finish_page(&pages, &mut page, &mut first_ids, &mut writer)?;
            context.check_stop()?;
            context.progress.advance(pages.page_entries() as u64);
        }
        if let Some(pair) = runs[number].take(&spill)? {
            heads.push(Reverse((pair, number)));
        }
    }
    finish_page(&pages, &mut page, &mut first_ids, &mut writer)?;
    writer.append(&pages.tail(&first_ids))?;
    let shape = SectionShape {
        kind: SectionKind::Ids,
        unit_bytes: ID_PAGE_BYTES as u32, // CAST: `ID_PAGE_BYTES` is below 2^32
        count: params.vectors,
        of: SectionOf::Main,
    };
    finish_section(params, target, shape, writer)
}

fn finish_page(
    pages: &IdPages,
    page: &mut Vec<(u64, u32)>,
    first_ids: &mut Vec<u64>,
    writer: &mut FileWriter,
) -> Result<(), BuildError> {
    let Some(&(first, _)) = page.first() else { return Ok(()) };
    writer.append(&pages.page(first_ids.len() as u64, page))?;
    first_ids.push(first);
    page.clear();
    Ok(())
}
