//! One query on its way through a worker: probe, prune, fetch, scan, rerank, top k.
use std::sync::Arc;
use std::vec::Drain;

use spandrel_index::codes::{CodeModel, CodeQuery};
use spandrel_index::format::{ListLayout, PageLayout};
use spandrel_index::kernels::scan::prefetch;
use spandrel_index::{Index, Metric, inverse_norm};
use spandrel_io::{Read, ReadBuf, ReadError};

use crate::cache::PageCache;
use crate::candidates::Candidates;
use crate::codes::{Blocks, CodeScanner};
use crate::damage::{DamageLog, DamagedPart};
use crate::error::with_cause;
use crate::fetch::{ListPlace, ListRead, gap_bytes, plan};
use crate::job::{End, Running};
use crate::probe::Prober;
use crate::request::{Request, pages_touched};
use crate::rerank::{PageRead, Reranker, assign, plan_pages};
use crate::scan::{Prepared, Scanner, check};
use crate::stages::StageClock;
use crate::top::TopK;
use crate::{Answer, DamageReason, Limit, Missing, Neighbour, ResolvedParams, Work};

/// What a worker shares among its queries.
pub(crate) struct Tools {
    pub(crate) index: Arc<Index>,
    /// Compares lists of exact vectors, where lists hold them.
    scanner: Option<Scanner>,
    codes: CodeScanner,
    reranker: Reranker,
    prober: Prober,
    pub(crate) damage: Arc<DamageLog>,
    pub(crate) cache: Option<Arc<PageCache>>,
}

impl Tools {
    pub(crate) fn new(index: Arc<Index>, damage: Arc<DamageLog>, cache: Option<Arc<PageCache>>) -> Tools {
        let scanner = match index.list_layout() {
            ListLayout::Full(layout) => Some(Scanner::new(&index, layout)),
            ListLayout::Coded(_) => None,
        };
        Tools {
            scanner,
            codes: CodeScanner::default(),
            reranker: Reranker::new(&index),
            prober: Prober::default(),
            damage,
            cache,
            index,
        }
    }
}

/// A place for a query in flight. Its buffers are used again by the queries that follow.
#[derive(Default)]
pub(crate) struct QuerySlot {
    /// The query, while there is one.
    pub(crate) running: Option<Running>,
    /// Its row in head space.
    head_row: Vec<u8>,
    inverse_norm: f32,
    code_query: CodeQuery,
    /// Lists chosen, in file order where they are read.
    places: Vec<ListPlace>,
    /// Lists asked of the disk so far, and those of them that turned out to be unreadable; both ascending.
    asked: Vec<u32>,
    unreadable: Vec<u32>,
    /// Vectors whose own list was chosen and is readable as far as is known.
    vectors: u64,
    /// What may still be asked of the disk.
    bytes_left: u64,
    limited_by: Option<Limit>,
    candidates: Candidates,
    /// Positions to be compared exactly, ascending in each burst; those whose pages are cached come before.
    positions: Vec<u32>,
    /// Those whose pages are not cached, while a burst is planned.
    uncached: Vec<u32>,
    /// Ids taken with their estimates.
    estimated: Vec<u64>,
    /// Bursts of exact comparisons begun.
    bursts: u32,
    requests: Vec<Request>,
    /// Reads not yet back.
    pub(crate) reads_left: usize,
    top: TopK,
    work: Work,
    missing: Missing,
    /// Pages that are not read any more, ascending.
    left_out: Vec<u64>,
    /// Why the query was given up, if it was: what is still being read is not looked at.
    end: Option<End>,
    clock: StageClock,
}

impl QuerySlot {
    /// Probes and prunes, scans what is in memory, and appends the reads that the query needs, tagged `tag` and
    /// their number.
    pub(crate) fn start(&mut self, running: Running, tools: &mut Tools, tag: u32, out: &mut Vec<Read>) {
        let index = Arc::clone(&tools.index);
        let params = running.job.params;
        let row = running.row();
        self.work = Work::default();
        self.missing = Missing::default();
        self.left_out.clear();
        self.end = None;
        self.clock.begin(params.times().then_some(running.started));
        self.bursts = 0;
        self.positions.clear();
        self.estimated.clear();
        self.requests.clear();
        self.asked.clear();
        self.unreadable.clear();
        self.bytes_left = params.max_bytes();
        self.limited_by = None;
        self.top.reset(params.k());
        self.inverse_norm =
            if index.metric() == Metric::Cosine { inverse_norm(index.dtype(), row) } else { 0.0 };
        self.head_row.clear();
        index.space().map_query(index.dtype(), row, &mut self.head_row);
        self.probe(&params, tools);
        self.clock.lap(|times| &mut times.probe_us);

        if let Some(model) = index.model() {
            let copies = index.resident_codes().is_none() && index.manifest().build.max_replicas > 1;
            self.candidates.reset(params.keep(copies));
            if let Some(left_out) = running.job.left_out.get(running.number) {
                self.candidates.leave_out(left_out);
            }
            if let Some(nearest) = tools.prober.nearest() {
                tools.codes.prepare(&index, model, row, nearest, &mut self.code_query);
            }
            if index.resident_codes().is_some() {
                self.scan_resident(&index, model, tools, || running.job.end());
                self.places.clear();
            }
        }
        self.clock.lap(|times| &mut times.scan_us);
        self.running = Some(running);
        self.submit_lists(&index, tag, out);
        self.rerank_when_idle(tools, tag, out);
    }

    /// Chooses the lists to read: those that have not been asked for, within the bytes that may be asked.
    fn probe(&mut self, params: &ResolvedParams, tools: &mut Tools) {
        let index = &*tools.index;
        let is_read = index.resident_codes().is_none();
        let unreadable = |list| {
            is_read
                && (tools.damage.is_quarantined(DamagedPart::List(list))
                    || self.unreadable.binary_search(&list).is_ok())
        };
        let probed = tools.prober.choose(index, &self.head_row, params, unreadable, &mut self.places);
        self.work.lists = probed.lists;
        self.work.head_distances = self.work.head_distances.saturating_add(probed.head_distances);
        self.vectors = probed.vectors;
        if !is_read {
            return;
        }
        self.missing.lists = probed.unreadable;
        self.places.retain(|place| self.asked.binary_search(&place.list).is_err());
        let is_first = self.asked.is_empty();
        let bytes = self.bytes_left.saturating_sub(bytes_for_pages(params, index));
        for dropped in drain_over(bytes, usize::from(is_first), &mut self.places) {
            self.vectors -= u64::from(dropped.primaries);
            self.limited_by = Some(Limit::MaxBytes);
        }
        let bytes = self.places.iter().map(|place| place.bytes).sum();
        self.bytes_left = self.bytes_left.saturating_sub(bytes);
        self.asked.extend(self.places.iter().map(|place| place.list));
        self.asked.sort_unstable();
        // Lists lie in the order of their numbers.
        self.places.sort_unstable_by_key(|place| place.list);
    }

    /// Asks for the lists that were chosen.
    fn submit_lists(&mut self, index: &Index, tag: u32, out: &mut Vec<Read>) {
        let first = self.requests.len();
        let gap_bytes = gap_bytes(&index.list_layout());
        plan(&self.places, gap_bytes, |read| self.requests.push(Request::Lists(read)));
        self.submit(first, &index.page_layout(), tag, out);
    }

    /// With nothing under way: asks for more lists in place of those that turned out to be unreadable, where the others
    /// hold fewer than `k` vectors.
    fn replace_unreadable(&mut self, tools: &mut Tools, tag: u32, out: &mut Vec<Read>) {
        let Some(params) = self.running.as_ref().map(|running| running.job.params) else { return };
        let is_short = !self.unreadable.is_empty() && self.vectors < params.k() as u64;
        let may_grow = self.limited_by.is_none() && self.work.lists < params.lists_max();
        if self.reads_left == 0 && self.bursts == 0 && is_short && may_grow {
            self.probe(&params, tools);
            self.clock.lap(|times| &mut times.probe_us);
            let index = Arc::clone(&tools.index);
            self.submit_lists(&index, tag, out);
        }
    }

    /// Scans the chosen lists, nearest first, so that the bound is good early. `end` is asked after each [`PIECE_BYTES`]
    /// of codes.
    fn scan_resident(
        &mut self,
        index: &Index,
        model: &CodeModel,
        tools: &mut Tools,
        mut end: impl FnMut() -> Option<End>,
    ) {
        let Some(codes) = index.resident_codes() else { return };
        let vector_bytes = codes.memory_bytes().div_ceil(index.vectors().max(1) as usize); // CAST: in memory
        let piece_max = (PIECE_BYTES / vector_bytes.max(1)).max(1) as u32; // CAST: at most `PIECE_BYTES`
        // Vectors since `end` was asked.
        let mut scanned = piece_max;
        let positions_of = |place: &ListPlace| {
            let start = index.directory().first_position(place.list);
            start..start + place.primaries
        };
        let ahead = codes.memory_bytes() > CACHED_BYTES;
        for (at, place) in self.places.iter().enumerate() {
            if let Some(next) = self.places.get(at + 1).filter(|_| ahead) {
                let range = codes.range(positions_of(next));
                prefetch(range.rows);
                prefetch(range.factors);
            }
            let mut rest = positions_of(place);
            while !rest.is_empty() {
                if scanned == piece_max {
                    self.end = end();
                    if self.end.is_some() {
                        return;
                    }
                    scanned = 0;
                }
                let count = (rest.len() as u32).min(piece_max - scanned); // CAST: positions
                let range = codes.range(rest.start..rest.start + count);
                let first = (rest.start - range.first) as usize;
                let lanes = first..first + count as usize;
                let blocks =
                    Blocks { rows: range.rows, factors: range.factors, head_distance: place.distance };
                let position = |lane: usize| range.first + lane as u32; // CAST: a position
                tools.codes.scan(model, &self.code_query, blocks, lanes, position, &mut self.candidates);
                self.work.vectors_scanned += u64::from(count);
                rest.start += count;
                scanned += count;
            }
        }
    }

    /// Appends the requests from number `first` on, as one round.
    fn submit(&mut self, first: usize, layout: &PageLayout, tag: u32, out: &mut Vec<Read>) {
        for (number, request) in self.requests.iter().enumerate().skip(first) {
            let read = request.read(layout, tag_of(tag, number));
            self.work.pages += pages_touched(&read);
            self.work.read_bytes += u64::from(read.bytes);
            out.push(read);
        }
        let count = self.requests.len() - first;
        self.reads_left += count;
        self.work.reads += count as u32; // CAST: at most one per list or page
        self.work.rounds += u32::from(count > 0);
    }

    /// With nothing under way: chooses candidates whose exact distances are needed, if any, and gets them.
    ///
    /// The first burst takes those whose estimates may be among the best; the second those that exact distances leave
    /// in doubt.
    fn rerank_when_idle(&mut self, tools: &mut Tools, tag: u32, out: &mut Vec<Read>) {
        let index = &*tools.index;
        let Some(params) = self.running.as_ref().map(|running| running.job.params) else { return };
        while self.reads_left == 0
            && self.bursts < params.bursts_max()
            && index.model().is_some()
            && !self.is_over()
        {
            if self.bursts == 0 {
                self.candidates.finish();
                self.work.candidates = self.candidates.kept().len() as u32; // CAST: at most the vectors
                if params.estimates() {
                    self.take_estimates(index);
                }
                self.candidates.keep_compared();
            }
            let mut first = self.positions.len();
            self.choose(&params, index, &tools.damage);
            self.bursts += 1;
            let first_request = self.requests.len();
            self.plan_burst(first, &index.page_layout());
            self.clock.lap(|times| &mut times.plan_us);
            if let Some(cache) = &tools.cache {
                first =
                    self.compare_cached(first, first_request, cache, &tools.reranker, &index.page_layout());
            }
            match (index.resident_vectors(), &self.running) {
                (Some(vectors), Some(running)) => {
                    self.requests.truncate(first_request);
                    let query = Prepared { row: running.row(), inverse_norm: self.inverse_norm };
                    let piece = (PIECE_BYTES / index.row_bytes()).max(1);
                    for positions in self.positions[first..].chunks(piece) {
                        self.end = running.job.end();
                        if self.end.is_some() {
                            break;
                        }
                        positions.iter().for_each(|&position| vectors.prefetch(position));
                        for &position in positions {
                            tools.reranker.offer(vectors.record(position), query, &mut self.top);
                        }
                    }
                }
                _ => self.submit(first_request, &index.page_layout(), tag, out),
            }
            self.clock.lap(|times| &mut times.rerank_us);
            self.work.reranked = self.positions.len() as u32; // CAST: at most `rerank_max` and what lies beside
        }
    }

    /// Appends the positions of a burst.
    fn choose(&mut self, params: &ResolvedParams, index: &Index, damage: &DamageLog) {
        let Some(running) = &self.running else { return };
        let (limit, errors) = match (self.bursts, params.first_errors()) {
            (0, None) => (f32::INFINITY, 0.0),
            (0, Some(errors)) => (self.candidates.bound_at(errors), 0.5 * errors),
            _ => {
                let kth = self.top.kth_score();
                (index.space().distance_of_score(kth, index.dtype(), running.row()), params.second_errors())
            }
        };
        let first = self.positions.len();
        let layout = index.page_layout();
        let page_bytes = layout.page_bytes() as u64;
        let is_read = index.resident_vectors().is_none();
        let mut room = params.rerank_max().saturating_sub(first);
        let mut is_limited = false;
        if is_read {
            // Each may need a page of its own. The best is compared in any case.
            let pages = usize::try_from(self.bytes_left / page_bytes).unwrap_or(usize::MAX);
            let pages = pages.max(usize::from(first == 0));
            is_limited = pages < room;
            room = room.min(pages);
        }
        for candidate in self.candidates.kept().iter_mut() {
            if candidate.compared || candidate.least(errors) > limit {
                continue;
            }
            if self.positions.len() - first == room {
                if is_limited {
                    self.limited_by = Some(Limit::MaxBytes);
                }
                break;
            }
            candidate.compared = true;
            let page = layout.place(candidate.position).0;
            if !is_read || !damage.is_quarantined(DamagedPart::Page(page)) {
                self.positions.push(candidate.position);
            } else if let Err(at) = self.left_out.binary_search(&page) {
                self.left_out.insert(at, page);
                self.missing.pages += 1;
            }
        }
        let chosen = &mut self.positions[first..];
        chosen.sort_unstable();
        if is_read {
            let pages = chosen.chunk_by(|&a, &b| layout.place(a).0 == layout.place(b).0).count() as u64; // CAST: widening
            self.bytes_left = self.bytes_left.saturating_sub(pages * page_bytes);
        }
    }

    /// Takes those candidates with their estimates that are surely among the nearest: no more than `k` others can be as near
    /// as they are at most, as far as errors tell.
    fn take_estimates(&mut self, index: &Index) {
        let (Some(running), Some(ids)) = (&self.running, index.resident_ids()) else { return };
        let errors = running.job.params.decided_errors();
        let border = self.candidates.border(errors);
        for candidate in self.candidates.kept() {
            if candidate.most(0.5 * errors) <= border {
                candidate.compared = true;
                let score = index.space().score_of_distance(candidate.estimate, index.dtype(), running.row());
                let id = ids.id(candidate.position);
                self.estimated.push(id);
                self.top.offer(score, id);
            }
        }
    }

    /// Appends requests for the pages of the positions from number `first` on. Candidates that lie in them anyway are
    /// compared as well, wherever vectors are, so that answers do not depend on that.
    fn plan_burst(&mut self, first: usize, layout: &PageLayout) {
        let first_request = self.requests.len();
        plan_pages(&self.positions[first..], layout, |read| self.requests.push(Request::Pages(read)));
        let requests = &mut self.requests[first_request..];
        // Requests ascend.
        let is_read = |page: u64| {
            let after = requests.partition_point(|r| r.pages().is_some_and(|read| read.first_page <= page));
            let before = after.checked_sub(1).and_then(|at| requests[at].pages());
            before.is_some_and(|read| page < read.first_page + read.pages)
        };
        for candidate in self.candidates.kept().iter_mut().filter(|candidate| !candidate.compared) {
            let page = layout.place(candidate.position).0;
            if is_read(page) {
                candidate.compared = true;
                self.positions.push(candidate.position);
            }
        }
        self.positions[first..].sort_unstable();
        assign(&self.positions, first, layout, requests.iter_mut().filter_map(Request::pages_mut));
    }

    /// Compares the positions from number `first` on whose pages are cached, and asks for the others alone: the number of
    /// the first of those.
    fn compare_cached(
        &mut self,
        first: usize,
        first_request: usize,
        cache: &PageCache,
        reranker: &Reranker,
        layout: &PageLayout,
    ) -> usize {
        let Some(running) = &self.running else { return first };
        let query = Prepared { row: running.row(), inverse_norm: self.inverse_norm };
        self.uncached.clear();
        let mut hits = first;
        let mut at = first;
        while at < self.positions.len() {
            let page = layout.place(self.positions[at]).0;
            let of_page = self.positions[at..].iter().take_while(|&&p| layout.place(p).0 == page).count();
            let (top, positions) = (&mut self.top, &self.positions[at..at + of_page]);
            let hit = cache.get(page, |bytes| {
                for &position in positions {
                    reranker.offer(layout.record(bytes, layout.place(position).1), query, top);
                }
            });
            if hit {
                self.positions.copy_within(at..at + of_page, hits);
                hits += of_page;
                self.work.cache_hits += 1;
            } else {
                self.uncached.extend_from_slice(&self.positions[at..at + of_page]);
            }
            at += of_page;
        }
        if hits == first {
            return first;
        }
        self.positions[hits..].copy_from_slice(&self.uncached);
        self.requests.truncate(first_request);
        plan_pages(&self.uncached, layout, |read| self.requests.push(Request::Pages(read)));
        let reads = self.requests[first_request..].iter_mut().filter_map(Request::pages_mut);
        assign(&self.positions, hits, layout, reads);
        hits
    }

    /// Whether the query is no longer wanted.
    fn is_over(&mut self) -> bool {
        self.end = self.end.or_else(|| self.running.as_ref().and_then(|running| running.job.end()));
        self.end.is_some()
    }

    /// Takes in one read, unless the query is no longer wanted; what could not be merged into one is asked for again,
    /// piece by piece.
    pub(crate) fn arrive(
        &mut self,
        tag: u64,
        result: &Result<ReadBuf, ReadError>,
        tools: &mut Tools,
        out: &mut Vec<Read>,
    ) {
        self.reads_left -= 1;
        self.clock.lap(|times| &mut times.wait_us);
        if self.is_over() {
            return;
        }
        let layout = tools.index.page_layout();
        let first = self.requests.len();
        match (self.requests[number_of(tag)], result) {
            (Request::Lists(read), Ok(bytes)) => self.scan_read(read, bytes, tools),
            (Request::Pages(read), Ok(bytes)) => self.rerank_read(read, bytes, tools),
            // One bad sector should cost one list or page.
            (Request::Lists(read), Err(_)) if read.end - read.first > 1 => {
                let singles = (read.first..read.end).map(|at| ListRead::single(&self.places, at));
                self.requests.extend(singles.map(Request::Lists));
            }
            (Request::Pages(read), Err(_)) if read.pages > 1 => {
                plan_pages_alone(&self.positions, read, &layout, &mut self.requests);
            }
            (Request::Lists(read), Err(error)) => {
                for at in read.first..read.end {
                    self.leave_out(at, DamageReason::Read(with_cause(error)), &tools.damage);
                }
            }
            (Request::Pages(read), Err(error)) => {
                self.missing.pages += 1;
                let part = DamagedPart::Page(read.first_page);
                let reason = DamageReason::Read(with_cause(error));
                tools.damage.add(part, read.offset(&layout), read.bytes(&layout), reason);
            }
        }
        if self.requests.len() > first {
            self.submit(first, &layout, slot_of(tag), out);
        }
        self.replace_unreadable(tools, slot_of(tag), out);
        self.rerank_when_idle(tools, slot_of(tag), out);
    }

    /// Goes on without a list that cannot be read or is damaged.
    fn leave_out(&mut self, at: usize, reason: DamageReason, damage: &DamageLog) {
        let place = self.places[at];
        self.missing.lists += 1;
        self.vectors -= u64::from(place.primaries);
        if let Err(at) = self.unreadable.binary_search(&place.list) {
            self.unreadable.insert(at, place.list);
        }
        damage.add(DamagedPart::List(place.list), place.offset, place.bytes, reason);
    }

    /// Scans the lists of a read, each checked before.
    fn scan_read(&mut self, read: ListRead, bytes: &[u8], tools: &mut Tools) {
        let index = Arc::clone(&tools.index);
        for at in read.first..read.end {
            let place = self.places[at];
            let from = (place.offset - read.offset) as usize; // CAST: inside a read
            let bytes = &bytes[from..from + place.bytes as usize]; // CAST: inside a read
            let coded = match check(&index, &place, bytes) {
                Ok(coded) => coded,
                Err(reason) => {
                    self.leave_out(at, reason, &tools.damage);
                    continue;
                }
            };
            tools.damage.whole(DamagedPart::List(place.list));
            self.clock.lap(|times| &mut times.verify_us);
            self.work.vectors_scanned += place.count() as u64;
            match (coded, index.model(), &mut tools.scanner) {
                (Some(list), Some(model), _) => {
                    let start = index.directory().first_position(place.list);
                    let position = |lane: usize| match lane.checked_sub(place.primaries as usize) {
                        None => start + lane as u32, // CAST: a position
                        Some(replica) => list.position(replica),
                    };
                    let blocks =
                        Blocks { rows: list.rows, factors: list.factors, head_distance: place.distance };
                    let lanes = 0..place.count();
                    tools.codes.scan(model, &self.code_query, blocks, lanes, position, &mut self.candidates);
                }
                (_, _, Some(scanner)) => {
                    let Some(running) = &self.running else {
                        unreachable!("a query waits for all of its reads")
                    };
                    let query = Prepared { row: running.row(), inverse_norm: self.inverse_norm };
                    scanner.scan(place.count(), bytes, query, &mut self.top);
                }
                (_, _, None) => unreachable!("lists of exact vectors have a scanner"),
            }
            self.clock.lap(|times| &mut times.scan_us);
        }
    }

    /// Compares the candidates in the pages of a read, each page checked before.
    fn rerank_read(&mut self, read: PageRead, bytes: &[u8], tools: &mut Tools) {
        let Some(running) = &self.running else { unreachable!("a query waits for all of its reads") };
        let (index, layout) = (&tools.index, tools.index.page_layout());
        let query = Prepared { row: running.row(), inverse_norm: self.inverse_norm };
        let page_bytes = layout.page_bytes();
        for positions in
            self.positions[read.first..read.end].chunk_by(|&a, &b| layout.place(a).0 == layout.place(b).0)
        {
            let number = layout.place(positions[0]).0;
            let at = (number - read.first_page) as usize * page_bytes; // CAST: inside a read
            let page = &bytes[at..at + page_bytes];
            if let Err((found, expected)) = layout.check_page(index.uuid(), number, page) {
                self.missing.pages += 1;
                let reason = DamageReason::Hash { found: found.into(), expected: expected.into() };
                let offset = read.offset(&layout) + at as u64;
                tools.damage.add(DamagedPart::Page(number), offset, page_bytes as u64, reason);
                continue;
            }
            tools.damage.whole(DamagedPart::Page(number));
            self.clock.lap(|times| &mut times.verify_us);
            for &position in positions {
                let record = layout.record(page, layout.place(position).1);
                tools.reranker.offer(record, query, &mut self.top);
            }
            if let Some(cache) = &tools.cache {
                cache.insert(number, page);
            }
            self.clock.lap(|times| &mut times.rerank_us);
        }
    }

    /// When nothing is awaited any more: hands in the answer. Says whether that freed the slot.
    pub(crate) fn finish_if_done(&mut self, index: &Index) -> bool {
        if self.reads_left > 0 {
            return false;
        }
        let Some(running) = self.running.take() else { return false };
        if let Some(end) = self.end {
            running.abandon(end);
            self.shrink();
            return true;
        }
        self.estimated.sort_unstable();
        let keys = self.top.finish();
        let neighbours: Vec<Neighbour> = keys
            .iter()
            .map(|key| Neighbour {
                id: key.id,
                distance: key.distance(index.metric()),
                estimated: self.estimated.binary_search(&key.id).is_ok(),
            })
            .collect();
        let params = &running.job.params;
        let is_short = neighbours.len() < params.k() && params.lists_max() < index.lists();
        let is_limited = is_short && self.work.lists >= params.lists_max();
        let limited_by = self.limited_by.or(is_limited.then_some(Limit::MaxLists));
        self.clock.lap(|times| &mut times.rerank_us);
        let latency_us = running.started.elapsed().as_nanos() as f32 / 1000.0; // CAST: rounds
        let stages = self.clock.times();
        let (work, missing, taken) = (self.work, self.missing, Some(running.started));
        let answer = Answer { neighbours, work, taken, latency_us, stages, missing, limited_by };
        running.finish(answer);
        self.shrink();
        true
    }

    /// Gives back what an unusually large query took, and others do not need.
    fn shrink(&mut self) {
        self.places.clear();
        self.places.shrink_to(KEPT);
        self.requests.clear();
        self.requests.shrink_to(KEPT);
        self.positions.clear();
        self.positions.shrink_to(KEPT);
        self.uncached.clear();
        self.uncached.shrink_to(KEPT);
        self.asked.clear();
        self.asked.shrink_to(KEPT);
    }
}

/// Lists, requests and positions that memory is kept for between queries.
pub(crate) const KEPT: usize = 4096;

/// Requests for each page of `read` that holds positions.
fn plan_pages_alone(positions: &[u32], read: PageRead, layout: &PageLayout, out: &mut Vec<Request>) {
    let mut first = read.first;
    let same_page = |&a: &u32, &b: &u32| layout.place(a).0 == layout.place(b).0;
    for of_page in positions[read.first..read.end].chunk_by(same_page) {
        let end = first + of_page.len();
        out.push(Request::Pages(PageRead { first_page: layout.place(of_page[0]).0, pages: 1, first, end }));
        first = end;
    }
}

/// Codes or vectors in memory that are looked at before a query sees whether it is still wanted: about 0.2 ms.
const PIECE_BYTES: usize = 1 << 20;

/// Codes in memory of so many bytes lie in a cache, and asking for them ahead costs more than it saves: on 50 000 vectors
/// a tenth of a query's time, where on 1 000 000 it saves a fifth.
const CACHED_BYTES: usize = 8 << 20;

/// What is set aside for pages of vectors before lists are chosen: a page for each of the neighbours wanted, but at most half
/// of what may be asked.
fn bytes_for_pages(params: &ResolvedParams, index: &Index) -> u64 {
    if index.model().is_none() || index.resident_vectors().is_some() {
        return 0;
    }
    let pages = (params.k() * index.page_layout().page_bytes()) as u64; // CAST: widening
    pages.min(params.max_bytes() / 2)
}

/// Drops the farthest of the lists, nearest first, that go over a limit of bytes; `least` are kept in any case.
fn drain_over(bytes_max: u64, least: usize, places: &mut Vec<ListPlace>) -> Drain<'_, ListPlace> {
    let mut bytes = 0_u64;
    let kept = places.iter().take_while(|place| {
        bytes = bytes.saturating_add(place.bytes);
        bytes <= bytes_max
    });
    let kept = kept.count().max(least.min(places.len()));
    places.drain(kept..)
}

/// The tag of a request of a slot.
pub(crate) fn tag_of(slot: u32, number: usize) -> u64 {
    u64::from(slot) << 32 | number as u64
}

/// The slot that a tag belongs to.
pub(crate) fn slot_of(tag: u64) -> u32 {
    (tag >> 32) as u32 // CAST: the upper half
}

/// The number of the request that a tag belongs to.
pub(crate) fn number_of(tag: u64) -> usize {
    (tag & u64::from(u32::MAX)) as usize // CAST: the lower half
}

#[cfg(test)]
mod tests;
