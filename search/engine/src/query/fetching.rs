//! Vectors are compared exactly: those in memory or in the cache at once, the others as their pages arrive.
use spandrel_index::format::PageLayout;
use spandrel_io::{ReadBuf, ReadError};

use crate::cache::PageCache;
use crate::damage::{DamageReason, DamagedPart};
use crate::error::with_cause;
use crate::job::PIECE_BYTES;
use crate::kept;
use crate::pages::{PageRead, assign, page_extent, plan_pages};
use crate::query::choosing::Choosing;
use crate::query::step::Step;
use crate::reads::VECTORS_FILE;

/// The reads of pages.
#[derive(Debug, Default)]
pub(super) struct Fetching {
    /// Positions whose pages are read, ascending.
    positions: Vec<u32>,
    requests: Vec<PageRead>,
}

impl Fetching {
    /// Compares what was chosen and is here, and asks for the pages of the rest.
    pub(super) fn begin(&mut self, chosen: &mut Choosing, step: &mut Step<'_>) {
        step.progress.work.reranked += chosen.positions.len() as u32; // CAST: `compared_max` and what lies beside
        std::mem::swap(&mut self.positions, &mut chosen.positions);
        std::mem::swap(&mut self.requests, &mut chosen.reads);
        if let Some(cache) = step.cache {
            self.compare_cached(cache, step);
        }
        if step.query.index.resident_vectors().is_some() {
            self.compare_resident(step);
        } else {
            self.submit(0, step);
        }
        step.progress.clock.lap(|times| &mut times.rerank_us);
    }

    /// Compares vectors in memory.
    fn compare_resident(&mut self, step: &mut Step<'_>) {
        let Some(vectors) = step.query.index.resident_vectors() else { return };
        let piece = (PIECE_BYTES / step.query.index.row_bytes()).max(1);
        for positions in self.positions.chunks(piece) {
            step.progress.end = step.running.job.end();
            if step.progress.end.is_some() {
                return;
            }
            positions.iter().for_each(|&position| vectors.prefetch(position));
            for &position in positions {
                let record = vectors.record(position);
                step.found.exact(step.reranker.score(record, step.query.exact), record.id);
            }
        }
    }

    /// Compares the positions whose pages are cached, and keeps the others alone.
    fn compare_cached(&mut self, cache: &PageCache, step: &mut Step<'_>) {
        let layout = step.query.index.page_layout();
        let mut left = 0;
        let mut at = 0;
        while at < self.positions.len() {
            let page = layout.place(self.positions[at]).0;
            let of_page = self.positions[at..].iter().take_while(|&&p| layout.place(p).0 == page).count();
            let positions = &self.positions[at..at + of_page];
            let hit = cache.get(page, |bytes| {
                for &position in positions {
                    let record = layout.record(bytes, layout.place(position).1);
                    step.found.exact(step.reranker.score(record, step.query.exact), record.id);
                }
            });
            if hit {
                step.progress.work.cache_hits += 1;
            } else {
                self.positions.copy_within(at..at + of_page, left);
                left += of_page;
            }
            at += of_page;
        }
        if left < self.positions.len() {
            self.positions.truncate(left);
            self.requests.clear();
            plan_pages(&self.positions, &layout, |read| self.requests.push(read));
            assign(&self.positions, &layout, self.requests.iter_mut());
        }
    }

    fn submit(&self, first: usize, step: &mut Step<'_>) {
        let page_bytes = step.query.index.page_layout().page_bytes();
        let extents = self.requests[first..].iter().map(|read| read.extent(page_bytes));
        step.progress.ask(VECTORS_FILE, first, extents, &mut step.out);
    }

    /// Takes in one read; what could not be merged into one is asked for again, page by page.
    pub(super) fn arrive(&mut self, number: usize, result: &Result<ReadBuf, ReadError>, step: &mut Step<'_>) {
        let read = self.requests[number];
        match result {
            Ok(bytes) => self.compare_read(read, bytes, step),
            // One bad sector should cost one page.
            Err(_) if read.pages > 1 => {
                let first = self.requests.len();
                self.request_alone(read, &step.query.index.page_layout());
                self.submit(first, step);
            }
            Err(error) => {
                step.progress.missing.pages += 1;
                let reason = DamageReason::Read(with_cause(error));
                let extent = read.extent(step.query.index.page_layout().page_bytes());
                step.damage.add(DamagedPart::Page(read.first_page), extent, reason);
            }
        }
    }

    /// Appends a request for each page of `read` that holds positions.
    fn request_alone(&mut self, read: PageRead, layout: &PageLayout) {
        let mut first = read.first;
        let same_page = |&a: &u32, &b: &u32| layout.place(a).0 == layout.place(b).0;
        for of_page in self.positions[read.first..read.end].chunk_by(same_page) {
            let end = first + of_page.len();
            self.requests.push(PageRead { first_page: layout.place(of_page[0]).0, pages: 1, first, end });
            first = end;
        }
    }

    /// Compares the vectors wanted of the pages of a read, each page checked before.
    fn compare_read(&self, read: PageRead, bytes: &[u8], step: &mut Step<'_>) {
        let (query, layout) = (&step.query, step.query.index.page_layout());
        let page_bytes = layout.page_bytes();
        let same_page = |&a: &u32, &b: &u32| layout.place(a).0 == layout.place(b).0;
        for positions in self.positions[read.first..read.end].chunk_by(same_page) {
            let number = layout.place(positions[0]).0;
            let at = (number - read.first_page) as usize * page_bytes; // CAST: inside a read
            let page = &bytes[at..at + page_bytes];
            if let Err((found, expected)) = layout.check_page(query.index.uuid(), number, page) {
                step.progress.missing.pages += 1;
                let reason = DamageReason::Hash { found: found.into(), expected: expected.into() };
                step.damage.add(DamagedPart::Page(number), page_extent(number, page_bytes), reason);
                continue;
            }
            step.damage.whole(DamagedPart::Page(number));
            step.progress.clock.lap(|times| &mut times.verify_us);
            for &position in positions {
                let record = layout.record(page, layout.place(position).1);
                step.found.exact(step.reranker.score(record, query.exact), record.id);
            }
            if let Some(cache) = step.cache {
                cache.insert(number, page);
            }
            step.progress.clock.lap(|times| &mut times.rerank_us);
        }
    }

    pub(super) fn clear(&mut self) {
        kept::clear(&mut self.positions);
        kept::clear(&mut self.requests);
    }
}
