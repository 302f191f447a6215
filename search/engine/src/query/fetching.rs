//! Vectors are compared exactly: those in memory or in the cache at once, the others as their pages arrive.
use spandrel_index::format::PageLayout;
use spandrel_index::{Location, Tier};
use spandrel_io::{ReadBuf, ReadError};

use crate::damage::{DamageReason, DamagedPart};
use crate::error::with_cause;
use crate::kept;
use crate::pages::{PageKey, PageRead, assign, plan_pages};
use crate::paging::PageCache;
use crate::query::choosing::Choosing;
use crate::query::step::Step;
use crate::reads::FileKind;
use crate::terms::PIECE_BYTES;

/// The reads of pages.
#[derive(Debug, Default)]
pub(super) struct Fetching {
    /// Where vectors lie whose pages are read, ascending.
    locations: Vec<Location>,
    requests: Vec<PageRead>,
}

impl Fetching {
    /// Compares what was chosen and is here, and asks for the pages of the rest.
    pub(super) fn begin(&mut self, chosen: &mut Choosing, step: &mut Step<'_>) {
        step.progress.work.reranked += chosen.locations.len() as u32; // CAST: `compared_max` and what lies beside
        std::mem::swap(&mut self.locations, &mut chosen.locations);
        std::mem::swap(&mut self.requests, &mut chosen.reads);
        if let Some(cache) = step.cache {
            self.compare_cached(cache, step);
        }
        if step.progress.end.is_some() {
            return;
        }
        if step.query.index.vectors_tier() == Tier::Memory {
            self.compare_resident(step);
        } else {
            self.submit(0, step);
        }
        step.progress.clock.lap(|times| &mut times.rerank_us);
    }

    /// Compares vectors in memory.
    fn compare_resident(&mut self, step: &mut Step<'_>) {
        let query = step.query;
        let resident = |location: Location| match &query.vectors(location.segment()).resident {
            Some(vectors) => vectors,
            None => unreachable!("vectors are in memory in all segments or in none"),
        };
        let piece = (PIECE_BYTES / query.shape().row_bytes()).max(1);
        for locations in self.locations.chunks(piece) {
            step.progress.end = step.running.job.end();
            if step.progress.end.is_some() {
                return;
            }
            locations.iter().for_each(|&at| resident(at).prefetch(at.position()));
            for &at in locations {
                let record = resident(at).record(at.position());
                step.compare(at, record);
            }
        }
    }

    /// Compares the locations whose pages are cached, and keeps the others alone.
    fn compare_cached(&mut self, cache: &PageCache, step: &mut Step<'_>) {
        let layout = step.query.shape().pages;
        let piece_pages = (PIECE_BYTES / layout.page_bytes()).max(1);
        let (mut left, mut at, mut pages) = (0, 0, 0);
        while at < self.locations.len() {
            if pages % piece_pages == 0 && step.is_over() {
                return;
            }
            pages += 1;
            let page = PageKey::of(self.locations[at], &layout);
            let of_page =
                self.locations[at..].iter().take_while(|&&p| PageKey::of(p, &layout) == page).count();
            let locations = &self.locations[at..at + of_page];
            let hit = cache.get(page.bits(), |bytes| {
                for &location in locations {
                    step.compare(location, layout.record(bytes, layout.place(location.position()).1));
                }
            });
            if hit {
                step.progress.work.cache_hits += 1;
            } else {
                self.locations.copy_within(at..at + of_page, left);
                left += of_page;
            }
            at += of_page;
        }
        if left < self.locations.len() {
            self.locations.truncate(left);
            self.requests.clear();
            plan_pages(&self.locations, &layout, step.query.index.merging(), |read| self.requests.push(read));
            assign(&self.locations, &layout, self.requests.iter_mut());
        }
    }

    fn submit(&self, first: usize, step: &mut Step<'_>) {
        let page_bytes = step.query.shape().pages.page_bytes();
        let extents = self.requests[first..]
            .iter()
            .map(|read| read.extent(FileKind::of(step.query.compare_by), page_bytes));
        step.progress.ask(first, extents, &mut step.out);
    }

    /// Takes in one read; what could not be merged into one is asked for again, page by page.
    pub(super) fn arrive(&mut self, number: usize, result: &Result<ReadBuf, ReadError>, step: &mut Step<'_>) {
        let read = self.requests[number];
        match result {
            Ok(bytes) => self.compare_read(read, bytes, step),
            // One bad sector should cost one page.
            Err(_) if read.pages > 1 => {
                let first = self.requests.len();
                self.request_alone(read, &step.query.shape().pages);
                self.submit(first, step);
            }
            Err(error) => leave_out(read.first_page, DamageReason::Read(with_cause(error)), step),
        }
    }

    /// Appends a request for each page of `read` that holds locations.
    fn request_alone(&mut self, read: PageRead, layout: &PageLayout) {
        let mut first = read.first;
        let same_page = |&a: &Location, &b: &Location| PageKey::of(a, layout) == PageKey::of(b, layout);
        for of_page in self.locations[read.first..read.end].chunk_by(same_page) {
            let end = first + of_page.len();
            let first_page = PageKey::of(of_page[0], layout);
            self.requests.push(PageRead { first_page, pages: 1, first, end });
            first = end;
        }
    }

    /// Compares the vectors wanted of the pages of a read, each page checked before.
    fn compare_read(&self, read: PageRead, bytes: &[u8], step: &mut Step<'_>) {
        let (query, layout) = (step.query, step.query.shape().pages);
        let page_bytes = layout.page_bytes();
        let same_page = |&a: &Location, &b: &Location| PageKey::of(a, &layout) == PageKey::of(b, &layout);
        for locations in self.locations[read.first..read.end].chunk_by(same_page) {
            let key = PageKey::of(locations[0], &layout);
            let (segment, part) = (key.segment(), DamagedPart::page(query.compare_by, key.number()));
            let at = key.after(read.first_page) as usize * page_bytes; // CAST: usize is 64 bits
            let page = &bytes[at..at + page_bytes];
            let checked = layout.check_page(query.vectors(segment).uuid, key.number(), page);
            if let Err((found, expected)) = checked {
                let reason = DamageReason::Hash { found: found.into(), expected: expected.into() };
                leave_out(key, reason, step);
                continue;
            }
            step.damage.whole(segment, part);
            step.progress.clock.lap(|times| &mut times.verify_us);
            for &location in locations {
                step.compare(location, layout.record(page, layout.place(location.position()).1));
            }
            if let Some(cache) = step.cache {
                cache.insert(key.bits(), page);
            }
            step.progress.clock.lap(|times| &mut times.rerank_us);
        }
    }

    pub(super) fn clear(&mut self) {
        kept::clear(&mut self.locations);
        kept::clear(&mut self.requests);
    }
}

/// Goes on without a page that cannot be read or is damaged.
fn leave_out(page: PageKey, reason: DamageReason, step: &mut Step<'_>) {
    let (of, page_bytes) = (step.query.compare_by, step.query.shape().pages.page_bytes());
    step.progress.missing.pages += 1;
    let (part, extent) = (DamagedPart::page(of, page.number()), page.extent(FileKind::of(of), page_bytes));
    step.damage.add(page.segment(), part, extent, reason);
}
