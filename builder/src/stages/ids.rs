//! Sorts pairs of id and position: runs sorted in memory while the vectors are written, merged afterwards.
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::Write;
use std::os::unix::fs::FileExt;

use fs_err as fs;
use spandrel_index::format::{BODY_AT, ID_PAGE_BYTES, IdPages, SectionKind};
use spandrel_io::FileWriter;

use super::write::{Layouts, SectionShape, finish_section};
use crate::checkpoint::{Checked, ScratchFiles, Section};
use crate::config::Params;
use crate::progress::Context;
use crate::{BuildError, Target};

/// Pairs sorted in memory at a time.
const RUN_PAIRS: usize = 1 << 20;
/// Bytes of a pair in scratch: id and position.
const PAIR_BYTES: usize = 12;
/// Pairs read from a run at a time.
const REFILL_PAIRS: usize = 1 << 12;

/// Writes sorted runs of pairs.
pub(super) struct IdRuns<W> {
    output: W,
    run: Vec<(u64, u32)>,
}

impl<W: Write> IdRuns<W> {
    pub(super) fn new(output: W) -> IdRuns<W> {
        IdRuns { output, run: Vec::new() }
    }

    pub(super) fn push(&mut self, id: u64, position: u32) -> Result<(), BuildError> {
        self.run.push((id, position));
        if self.run.len() == RUN_PAIRS { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), BuildError> {
        self.run.sort_unstable();
        for (id, position) in self.run.drain(..) {
            self.output.write_all(&id.to_le_bytes())?;
            self.output.write_all(&position.to_le_bytes())?;
        }
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<W, BuildError> {
        self.flush()?;
        Ok(self.output)
    }
}

/// One sorted run being read.
struct Run {
    next: u64,
    end: u64,
    buffer: Vec<(u64, u32)>,
    at: usize,
}

impl Run {
    fn take(&mut self, file: &fs::File) -> Result<Option<(u64, u32)>, BuildError> {
        if self.at == self.buffer.len() {
            let pairs = (self.end - self.next).min(REFILL_PAIRS as u64) as usize; // CAST: a refill is small
            if pairs == 0 {
                return Ok(None);
            }
            let mut bytes = vec![0; pairs * PAIR_BYTES];
            file.file().read_exact_at(&mut bytes, self.next * PAIR_BYTES as u64)?;
            self.buffer.clear();
            for pair in bytes.as_chunks::<PAIR_BYTES>().0 {
                let [a, b, c, d, e, f, g, h, position @ ..] = *pair;
                let id = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
                self.buffer.push((id, u32::from_le_bytes(position)));
            }
            self.next += pairs as u64;
            self.at = 0;
        }
        let pair = self.buffer[self.at];
        self.at += 1;
        Ok(Some(pair))
    }
}

pub(crate) fn ids(
    params: &Params,
    checked: &Checked,
    files: &ScratchFiles,
    target: Target<'_>,
    context: Context<'_>,
) -> Result<Section, BuildError> {
    context.progress.phase("ids", params.vectors, "ids");
    let file = fs::File::open(files.id_runs())?;
    let (found, expected) = (file.metadata()?.len(), params.vectors * PAIR_BYTES as u64);
    if found != expected {
        let what = format!("{found} bytes, expected {expected}");
        return Err(BuildError::Scratch { path: files.id_runs(), what });
    }
    let mut runs: Vec<Run> = (0..params.vectors)
        .step_by(RUN_PAIRS)
        .map(|start| {
            let end = (start + RUN_PAIRS as u64).min(params.vectors);
            Run { next: start, end, buffer: Vec::new(), at: 0 }
        })
        .collect();
    let mut heads = BinaryHeap::new();
    for (number, run) in runs.iter_mut().enumerate() {
        if let Some(pair) = run.take(&file)? {
            heads.push(Reverse((pair, number)));
        }
    }
    let pages = IdPages { id_bytes: Layouts::new(params, checked).id_bytes, uuid: target.uuid };
    let mut writer = FileWriter::create_with_head(&target.section(SectionKind::Ids), BODY_AT)?;
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
        if let Some(pair) = runs[number].take(&file)? {
            heads.push(Reverse((pair, number)));
        }
    }
    finish_page(&pages, &mut page, &mut first_ids, &mut writer)?;
    writer.append(&pages.tail(&first_ids))?;
    let shape = SectionShape {
        kind: SectionKind::Ids,
        unit_bytes: ID_PAGE_BYTES as u32, // CAST: a constant
        count: params.vectors,
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
