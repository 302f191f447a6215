//! A piece of an exact search on its way through a worker: its pages are read, and compared with the queries.
use spandrel_index::format::VectorsOf;
use spandrel_index::{Location, StoredVectors};
use spandrel_io::{Read, ReadBuf, ReadError};

use super::search::{ExactPieces, ExactSearch};
use crate::damage::{DamageReason, DamagedPart};
use crate::error::with_cause;
use crate::job::Running;
use crate::pages::{PageKey, PageRead};
use crate::query::Tools;
use crate::reads::{FileKind, Outbox};

/// A place for a piece in flight.
#[derive(Default)]
pub(crate) struct ExactSlot {
    pub(crate) running: Option<Running<ExactPieces>>,
    /// Whether its read is under way.
    is_read: bool,
    /// Vectors that may be among the nearest of a query, by score and id.
    near: Vec<(f32, u64)>,
    /// Scores of all of them, where their mass is wanted.
    scores: Vec<f32>,
}

impl ExactSlot {
    /// Compares the pages that are in memory, or appends the read of those that are not.
    pub(crate) fn start(
        &mut self,
        running: Running<ExactPieces>,
        tools: &Tools,
        slot: u32,
        out: &mut Vec<Read>,
    ) {
        let job = &*running.job;
        let (first, pages) = job.search.pages(job.pieces.start + running.number);
        let segment = &tools.index.segments()[usize::from(first.segment())];
        let stored = segment.vectors(VectorsOf::Main);
        if let Some(vectors) = &stored.resident {
            let of_page = stored.layout.page_records() as u64; // CAST: widening
            let positions = first.number() * of_page..((first.number() + pages) * of_page).min(segment.count);
            for number in 0..job.search.queries() {
                // CAST: positions, below 2^32
                let records = positions.clone().map(|at| (at as u32, vectors.record(at as u32)));
                self.compare(&job.search, number, first.segment(), tools, records);
            }
            self.is_read = false;
        } else {
            let read = PageRead { first_page: first, pages, first: 0, end: 0 };
            Outbox { slot, files: &tools.files, reads: out }
                .push(read.extent(FileKind::Vectors, job.search.page_bytes()), 0);
            self.is_read = true;
        }
        self.running = Some(running);
    }

    /// Takes in the read. Pages that are damaged are counted and left out.
    pub(crate) fn arrive(&mut self, result: &Result<ReadBuf, ReadError>, tools: &Tools) {
        let Some(running) = self.running.take() else { unreachable!("a piece waits for its read") };
        self.is_read = false;
        let job = &*running.job;
        let (first, pages) = job.search.pages(job.pieces.start + running.number);
        match result {
            Ok(bytes) => self.take_in(&job.search, first, bytes, tools),
            Err(error) => {
                job.search.miss(pages);
                let page = PageRead { first_page: first, pages: 1, first: 0, end: 0 };
                let extent = page.extent(FileKind::Vectors, job.search.page_bytes());
                let reason = DamageReason::Read(with_cause(error));
                tools.damage.add(first.segment(), DamagedPart::Page(first.number()), extent, reason);
            }
        }
        self.running = Some(running);
    }

    fn take_in(&mut self, search: &ExactSearch, first: PageKey, bytes: &[u8], tools: &Tools) {
        let segment = &tools.index.segments()[usize::from(first.segment())];
        let StoredVectors { layout, uuid, .. } = segment.vectors(VectorsOf::Main);
        let of_page = layout.page_records() as u64; // CAST: widening
        let mut whole = Vec::new();
        for (number, page) in (first.number()..).zip(bytes.chunks_exact(search.page_bytes())) {
            match layout.check_page(*uuid, number, page) {
                Ok(()) => whole.push((number, page)),
                Err((found, expected)) => {
                    search.miss(1);
                    let reason = DamageReason::Hash { found: found.into(), expected: expected.into() };
                    let key = PageKey::new(first.segment(), number);
                    let extent = key.extent(FileKind::Vectors, search.page_bytes());
                    tools.damage.add(first.segment(), DamagedPart::Page(number), extent, reason);
                }
            }
        }
        for number in 0..search.queries() {
            let records = whole.iter().flat_map(|&(page_number, page)| {
                let first = page_number * of_page;
                let count = of_page.min(segment.count - first);
                // CAST: positions, and slots of a page
                (0..count).map(move |slot| ((first + slot) as u32, layout.record(page, slot as usize)))
            });
            self.compare(search, number, first.segment(), tools, records);
        }
    }

    /// Offers a query those of some vectors that may be among its nearest.
    fn compare<'a>(
        &mut self,
        search: &ExactSearch,
        number: usize,
        segment: u16,
        tools: &Tools,
        records: impl Iterator<Item = (u32, spandrel_index::format::Record<'a>)>,
    ) {
        let (query, limit) = (search.prepared(number), search.best(number).bound_score());
        self.near.clear();
        self.scores.clear();
        for (position, record) in records {
            let score = tools.reranker(VectorsOf::Main).score(record, query);
            if search.sums_mass() {
                self.scores.push(score);
            }
            // Lets a NaN through to the comparison of keys.
            let is_far = score > limit;
            if !is_far && !search.leaves_out(number, Location::new(segment, position)) {
                self.near.push((score, record.id));
            }
        }
        search.add_mass(number, &self.scores);
        let mut best = search.best(number);
        self.near.iter().for_each(|&(score, id)| best.offer(score, id));
    }

    /// When nothing is awaited any more: hands in how long it took. Says whether that freed the slot.
    pub(crate) fn finish_if_done(&mut self) -> bool {
        if self.is_read {
            return false;
        }
        let Some(running) = self.running.take() else { return false };
        let micros = running.started.elapsed().as_secs_f32() * 1e6;
        running.finish(micros);
        true
    }
}
