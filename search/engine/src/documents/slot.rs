//! The documents that a query's tokens have found on their way through a worker: chosen by estimates, read in one burst, compared by MaxSim.
use std::ops::Range;
use std::sync::Arc;

use spandrel_index::documents::{DocumentTokens, MaxSim, QueryTokens};
use spandrel_io::{Read, ReadBuf, ReadError};

use super::explained;
use super::params::{SEGMENT, TOKENS, page_bytes_of, tokens_of};
use crate::answer::{Answer, Limit, Neighbour};
use crate::damage::{DamageReason, DamagedPart};
use crate::documents::{DOCUMENTS_COMPARED, DocumentTask};
use crate::error::with_cause;
use crate::explain::Stop;
use crate::job::{Running, Waiting as _};
use crate::pace::Course;
use crate::pages::{PageKey, PageRead, merge_pages};
use crate::progress::Progress;
use crate::query::Tools;
use crate::reads::{FileKind, Outbox, number_of, slot_of};
use crate::terms::{End, PIECE_BYTES};

/// Bytes of pages that are read and held at once, but for a document that has more: far more than the documents usually compared.
const BURST_BYTES: usize = 16 << 20;

/// A place for a query document in flight. Its buffers are used again by those that follow.
#[derive(Default)]
pub(crate) struct DocumentSlot {
    pub(crate) running: Option<Running<DocumentTask>>,
    progress: Progress,
    /// Documents to compare, ascending.
    chosen: Vec<u32>,
    /// Those of them whose pages are held now.
    piece: Range<usize>,
    /// Numbers of the pages that the tokens of these lie on, ascending, and whether each is there.
    pages: Vec<(u64, bool)>,
    /// The pages, back to back.
    bytes: Vec<u8>,
    /// Those of the pages that are read.
    wanted: Vec<usize>,
    requests: Vec<PageRead>,
    query: Option<QueryTokens>,
    /// MaxSim of the documents compared so far.
    scores: Vec<(f64, u32)>,
    /// Tokens of a document, back to back.
    rows: Vec<u8>,
    document: DocumentTokens,
    maxima: Vec<f32>,
}

/// Fewer documents are taken to have taken as long as this number.
const FEW: usize = 15;
/// Tokens of a query. With these the rows that a piece has take about the time of a piece to compare.
const PIECE_TOKENS: usize = 32;
/// Rows of a document that are compared at once at least, since a query is gone through each time.
const ROWS_AT_ONCE_MIN: usize = 128;

/// Rows of documents that are compared with `tokens` tokens of a query in about the time of a piece.
fn rows_at_once(max_sim: &MaxSim, tokens: usize) -> usize {
    (PIECE_BYTES / max_sim.row_bytes() * PIECE_TOKENS / tokens.max(1)).max(ROWS_AT_ONCE_MIN)
}

impl DocumentSlot {
    /// Chooses documents, and compares what is at hand of them. Appends the reads of pages that are not in memory or in the cache.
    pub(crate) fn start(
        &mut self,
        running: Running<DocumentTask>,
        tools: &mut Tools,
        slot: u32,
        reads: &mut Vec<Read>,
    ) {
        self.progress = Progress { bytes_left: running.job.bytes_left, ..Progress::default() };
        let params = &running.job.params;
        self.progress.clock.begin((params.times || params.explain).then_some(running.started));
        self.choose(&running.job, tools);
        (self.query, self.piece) = (tools.max_sim.map(|max_sim| max_sim.query(&running.job.tokens)), 0..0);
        self.scores.clear();
        self.running = Some(running);
        self.progress.clock.lap(|times| &mut times.plan_us);
        self.advance(tools, slot, reads);
    }

    /// Goes on from piece to piece while nothing is awaited and the query is wanted.
    fn advance(&mut self, tools: &Tools, slot: u32, reads: &mut Vec<Read>) {
        while self.progress.reads_left == 0 && self.progress.end.is_none() {
            self.progress.end = self.compare(tools).err();
            self.progress.clock.lap(|times| &mut times.rerank_us);
            if self.progress.end.is_some() || self.piece.end == self.chosen.len() {
                return;
            }
            self.load(tools, slot, reads);
            self.progress.clock.lap(|times| &mut times.plan_us);
        }
    }

    /// Goes over to the next piece, and appends the reads of its pages.
    fn load(&mut self, tools: &Tools, slot: u32, reads: &mut Vec<Read>) {
        self.pages.clear();
        self.wanted.clear();
        self.requests.clear();
        self.piece = self.piece.end..self.chosen.len();
        let index = &tools.index;
        if tokens_of(index).resident.is_some() {
            return;
        }
        let (Some(documents), layout) = (index.documents(), index.shape_of(TOKENS).pages) else { return };
        let page_bytes = layout.page_bytes();
        for at in self.piece.clone() {
            if self.pages.len() * page_bytes >= BURST_BYTES {
                self.piece.end = at;
                break;
            }
            let rows = documents.offsets().rows_of(self.chosen[at] as usize); // CAST: widening
            let pages = layout.place(rows.start).0..=layout.place(rows.end - 1).0;
            // Documents ascend, and a page may hold the end of one and the start of the next.
            let last = self.pages.last().map(|&(last, _)| last);
            self.pages
                .extend(pages.filter(|&page| last.is_none_or(|last| page > last)).map(|page| (page, false)));
        }
        self.bytes.resize(self.pages.len() * page_bytes, 0);
        for (at, page) in self.pages.iter_mut().enumerate() {
            let target = &mut self.bytes[at * page_bytes..(at + 1) * page_bytes];
            let key = PageKey::new(SEGMENT, page.0);
            if tools.damage.is_quarantined(SEGMENT, DamagedPart::page(TOKENS, page.0)) {
                self.progress.missing.pages += 1;
                continue;
            }
            page.1 = tools
                .cache_of(TOKENS)
                .is_some_and(|cache| cache.get(key.bits(), |bytes| target.copy_from_slice(bytes)));
            if page.1 {
                self.progress.work.cache_hits += 1;
            } else {
                self.wanted.push(at);
            }
        }
        let keys = self.wanted.iter().map(|&at| PageKey::new(SEGMENT, self.pages[at].0));
        merge_pages(keys, page_bytes, index.merging(), |read| self.requests.push(read));
        self.ask(0, tools, slot, reads);
    }

    /// Chooses the best documents by what the tokens have found, within the bytes that may be asked.
    fn choose(&mut self, task: &DocumentTask, tools: &mut Tools) {
        let Some(documents) = tools.index.documents() else { unreachable!("the index has documents") };
        let (offsets, layout) = (documents.offsets(), tools.index.shape_of(TOKENS).pages);
        let matching = task.filter.as_ref().map_or(usize::MAX, |matches| matches.count() as usize); // CAST: usize is 64 bits
        let count = task.params.compared(&tools.index).min(matching);
        let found = task.found.iter().map(|answer| &answer.neighbours[..]);
        let (mut best, candidates) = match &task.filter {
            None => {
                let all = 0..offsets.documents() as u32; // CAST: an index has at most 2^32 - 1 documents
                tools.ranking.best(offsets.documents(), found, count, all)
            }
            Some(matches) => {
                let all = matches.segments().iter().flat_map(|of| of.within(0..u32::MAX));
                tools.ranking.best(offsets.documents(), found, count, all)
            }
        };
        if tokens_of(&tools.index).resident.is_none() {
            let mut bytes = 0_u64;
            let kept = best.iter().take_while(|&&document| {
                bytes = bytes.saturating_add(page_bytes_of(offsets, layout, document));
                bytes <= self.progress.bytes_left
            });
            let kept = kept.count().max(1);
            if kept < best.len() {
                self.progress.limited_by = Some(Limit::MaxBytes);
                best.truncate(kept);
            }
        }
        if task.params.explain {
            let stop = match self.progress.limited_by {
                Some(_) => Stop::MaxBytes,
                None if best.len() == matching.min(offsets.documents()) => Stop::All,
                None => Stop::Count,
            };
            self.progress.explanation = Some(explained::begun(task, &tools.index, &best, stop));
        }
        best.sort_unstable();
        self.chosen = best;
        self.progress.work.candidates = candidates as u32; // CAST: fewer than the documents
    }

    /// Appends the requests from number `first` on.
    fn ask(&mut self, first: usize, tools: &Tools, slot: u32, reads: &mut Vec<Read>) {
        let page_bytes = tools.index.shape_of(TOKENS).pages.page_bytes();
        let extents = self.requests[first..].iter().map(|read| read.extent(FileKind::Column, page_bytes));
        self.progress.ask(first, extents, &mut Outbox { slot, files: &tools.files, reads });
    }

    /// Takes in one read; what could not be merged into one is asked for again, page by page. Says whether it was just found out that the
    /// query is no longer wanted: what else was asked for is of no use then.
    pub(crate) fn arrive(
        &mut self,
        tag: u64,
        result: &Result<ReadBuf, ReadError>,
        tools: &Tools,
        reads: &mut Vec<Read>,
    ) -> bool {
        self.progress.reads_left -= 1;
        let was_over = self.progress.end.is_some();
        self.progress.clock.lap(|times| &mut times.wait_us);
        let Some(running) = &self.running else { unreachable!("a query waits for all of its reads") };
        self.progress.end = self.progress.end.or_else(|| running.job.end());
        if self.progress.end.is_some() {
            return !was_over;
        }
        let read = self.requests[number_of(tag)];
        match result {
            Ok(bytes) => self.take_in(read, bytes, tools),
            // One bad sector should cost one page.
            Err(_) if read.pages > 1 => {
                let first = self.requests.len();
                let single = |at: usize| {
                    let first_page = PageKey::new(SEGMENT, self.pages[self.wanted[at]].0);
                    PageRead { first_page, pages: 1, first: at, end: at + 1 }
                };
                self.requests.extend((read.first..read.end).map(single));
                self.ask(first, tools, slot_of(tag), reads);
            }
            Err(error) => {
                let reason = DamageReason::Read(with_cause(error));
                self.leave_out(self.pages[self.wanted[read.first]].0, reason, tools);
            }
        }
        self.advance(tools, slot_of(tag), reads);
        self.progress.end.is_some()
    }

    /// Copies the pages wanted of a read, each checked before.
    fn take_in(&mut self, read: PageRead, bytes: &[u8], tools: &Tools) {
        let (layout, uuid) = (tools.index.shape_of(TOKENS).pages, tokens_of(&tools.index).uuid);
        let page_bytes = layout.page_bytes();
        for wanted in read.first..read.end {
            let at = self.wanted[wanted];
            let number = self.pages[at].0;
            let key = PageKey::new(SEGMENT, number);
            let from = key.after(read.first_page) as usize * page_bytes; // CAST: usize is 64 bits
            let page = &bytes[from..from + page_bytes];
            if let Err((found, expected)) = layout.check_page(uuid, number, page) {
                let reason = DamageReason::Hash { found: found.into(), expected: expected.into() };
                self.leave_out(number, reason, tools);
                continue;
            }
            tools.damage.whole(SEGMENT, DamagedPart::page(TOKENS, number));
            self.bytes[at * page_bytes..(at + 1) * page_bytes].copy_from_slice(page);
            self.pages[at].1 = true;
            if let Some(cache) = tools.cache_of(TOKENS) {
                cache.insert(key.bits(), page);
            }
        }
        self.progress.clock.lap(|times| &mut times.verify_us);
    }

    /// Goes on without a page that cannot be read or is damaged.
    fn leave_out(&mut self, page: u64, reason: DamageReason, tools: &Tools) {
        let page_bytes = tools.index.shape_of(TOKENS).pages.page_bytes();
        let extent = PageKey::new(SEGMENT, page).extent(FileKind::Column, page_bytes);
        self.progress.missing.pages += 1;
        tools.damage.add(SEGMENT, DamagedPart::page(TOKENS, page), extent, reason);
    }

    /// When nothing is awaited any more: hands in the answer. Says whether that freed the slot.
    pub(crate) fn finish_if_done(&mut self) -> bool {
        if self.progress.reads_left > 0 {
            return false;
        }
        let Some(running) = self.running.take() else { return false };
        match self.progress.end {
            None => {
                self.keep_pace(&running);
                let answer = self.answer(&running);
                running.finish(answer);
            }
            Some(end) => running.abandon(end),
        }
        true
    }

    /// Takes in how long comparing took, as that of the usual number of documents. What few take is mostly what
    /// a read takes.
    fn keep_pace(&self, running: &Running<DocumentTask>) {
        let micros = running.started.elapsed().as_secs_f32() * 1e6;
        let share = DOCUMENTS_COMPARED as f32 / self.chosen.len().max(FEW) as f32; // CAST: a ratio
        running.job.searched().pace.of(Course::Documents).took(micros * share);
    }

    /// Compares the documents of the piece whose tokens are all there.
    fn compare(&mut self, tools: &Tools) -> Result<(), End> {
        let Some(running) = &self.running else { unreachable!("a query that is compared runs") };
        let job = Arc::clone(&running.job);
        let (Some(documents), Some(max_sim)) = (tools.index.documents(), tools.max_sim) else {
            unreachable!("the index has documents")
        };
        // Looked at first of all, and then each time that about as much was done.
        let tokens = job.tokens.len() / max_sim.row_bytes();
        let (at_once, mut rows_left) = (rows_at_once(&max_sim, tokens), 0);
        for at in self.piece.clone() {
            let document = self.chosen[at];
            // CAST: widening
            if !self.gather(documents.offsets().rows_of(document as usize), tools) {
                continue;
            }
            let DocumentSlot { query: Some(query), rows, document: tokens, maxima, .. } = self else {
                continue;
            };
            maxima.clear();
            maxima.resize(query.len(), f32::NEG_INFINITY);
            for rows in rows.chunks(at_once * max_sim.row_bytes()) {
                if rows_left == 0 {
                    job.end().map_or(Ok(()), Err)?;
                    rows_left = at_once;
                }
                rows_left = rows_left.saturating_sub(rows.len() / max_sim.row_bytes());
                max_sim.document(rows, tokens);
                max_sim.raise(query, tokens, maxima);
            }
            self.scores.push((MaxSim::total(&self.maxima), document));
            self.progress.work.documents += 1;
            self.progress.work.reranked += (self.rows.len() / max_sim.row_bytes()) as u32; // CAST: a document has fewer than 2^32 tokens
        }
        Ok(())
    }

    /// Puts some rows back to back, if all of them are there.
    fn gather(&mut self, rows: Range<u32>, tools: &Tools) -> bool {
        self.rows.clear();
        if let Some(vectors) = &tokens_of(&tools.index).resident {
            rows.for_each(|row| self.rows.extend_from_slice(vectors.record(row).vector));
            return true;
        }
        let layout = tools.index.shape_of(TOKENS).pages;
        let page_bytes = layout.page_bytes();
        let first = layout.place(rows.start).0;
        let at = self.pages.partition_point(|&(page, _)| page < first);
        for row in rows {
            let (page, slot) = layout.place(row);
            let at = at + (page - first) as usize; // CAST: pages of a document follow each other
            if !self.pages[at].1 {
                return false;
            }
            let bytes = &self.bytes[at * page_bytes..(at + 1) * page_bytes];
            self.rows.extend_from_slice(layout.record(bytes, slot).vector);
        }
        true
    }

    /// The best of the documents compared, with what the tokens took.
    fn answer(&mut self, running: &Running<DocumentTask>) -> Answer {
        let task = &running.job;
        let Some(documents) = task.searched().index.documents() else {
            unreachable!("the index has documents")
        };
        self.scores.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        let neighbour = |&(score, document): &(f64, u32)| {
            // CAST: rounded once, to nearest. Adding zero turns a minus zero into zero.
            Neighbour { id: documents.id(document), distance: score as f32 + 0.0, estimated: false }
        };
        let neighbours = self.scores.iter().take(task.params.k).map(neighbour).collect();
        let mut filtered = task.filtered;
        let Progress { mut work, mut missing, mut limited_by, mut explanation, mut clock, .. } =
            std::mem::take(&mut self.progress);
        if let Some(told) = &mut explanation {
            explained::scored(told, &self.scores);
        }
        clock.lap(|times| &mut times.rerank_us);
        let mut stages = clock.times();
        let candidates = work.candidates;
        let rounds = task.found.iter().map(|token| token.work.rounds).max().unwrap_or_default() + work.rounds;
        for token in &task.found {
            work.add(&token.work);
            missing.lists += token.missing.lists;
            missing.pages += token.missing.pages;
            limited_by = limited_by.or(token.limited_by);
            if let (Some(of_all), Some(of_token)) = (&mut stages, &token.stages) {
                of_all.add(of_token);
            }
            if let (Some(of_all), Some(of_token)) = (&mut filtered, token.filtered) {
                of_all.widened |= of_token.widened;
            }
        }
        // Tokens search side by side.
        (work.candidates, work.rounds) = (candidates, rounds);
        let taken = task.taken.unwrap_or(running.started);
        Answer {
            neighbours,
            work,
            taken: Some(taken),
            latency_us: taken.elapsed().as_nanos() as f32 / 1000.0, // CAST: rounds
            stages,
            explanation,
            filtered,
            missing,
            limited_by,
            ..Answer::default()
        }
    }
}
