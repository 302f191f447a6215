//! Makes searches again from what was recorded of them: the lists of a query are scanned once, and then a search of any number
//! of them with any errors is made without a scan.
use std::sync::Arc;

use spandrel_index::codes::CodeSpec;
use spandrel_index::format::VectorsOf;
use spandrel_index::heads::HeadIndexKind;
use spandrel_index::{Index, Location, Segment, Tier};
use spandrel_io::{Direct, ReadFile};

use super::error::CalibrateError;
use super::queries::Queries;
use super::scores::Scores;
use super::seen::{Seen, Walked};
use super::truth::TrueNeighbours;
use crate::accept::Accepted;
use crate::collect::{Collect as _, Collecting, Keep, Recorder, TopK};
use crate::fetch::{ListPlace, NearList};
use crate::files::open_file;
use crate::pages::{PageKey, PageRead, plan_pages};
use crate::plan::QueryPlan;
use crate::probe::Prober;
use crate::progress::Progress;
use crate::recall::no_worse;
use crate::scan::{QueryRow, ReadList, Scan, Sink, scan_of};
use crate::stop::{HeadDistances, StopRule, TracedStep, inputs_after};
use crate::subject::Subject;
use crate::terms::Terms;

/// What searches are made of.
#[derive(Clone, Copy)]
pub(super) struct Field<'a> {
    pub(super) queries: &'a Queries,
    pub(super) nearest: &'a [TrueNeighbours],
    /// How many lists are read before each of a query's neighbours is found.
    pub(super) ranks: &'a [Vec<u32>],
    /// Lists that are tried at most.
    pub(super) lists_max: u32,
}

/// How searches are made.
pub(super) struct Asked {
    pub(super) plan: QueryPlan,
    /// What is kept of the lists, for this and other searches.
    pub(super) keep: Keep,
    /// When searches end before their last list.
    pub(super) rule: Option<StopRule>,
    /// Whether only their steps are wanted: nothing is compared.
    pub(super) is_traced: bool,
}

/// What came of a search.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// True neighbours found.
    pub(super) found: usize,
    pub(super) reranked: u64,
    pub(super) vectors_scanned: u64,
    /// How it went, where that was asked for.
    pub(super) steps: Vec<TracedStep>,
}

/// Makes the searches of one thread.
pub(super) struct Replayer<'a> {
    index: &'a Index,
    /// Lists of codes that are not in memory, by segment; none where they are.
    lists: Vec<Arc<ReadFile>>,
    /// Bits before those of the pages of each segment, and of all.
    first_pages: Vec<u64>,
    scan: Box<dyn Scan>,
    scores: Scores<'a>,
    accept: Accepted,
    terms: Terms,
    subject: Subject,
    prober: Prober,
    recorder: Recorder,
    top_k: TopK,
    progress: Progress,
    bytes: Vec<u8>,
    /// Places of the lists that are searched, ascending.
    order: Vec<u32>,
    burst: Burst,
}

/// Vectors compared together.
#[derive(Default)]
struct Burst {
    locations: Vec<Location>,
    reads: Vec<PageRead>,
    /// A bit for each page of the index: whether it is read.
    pages: Vec<u64>,
    scores: Vec<f32>,
}

impl<'a> Replayer<'a> {
    pub(super) fn open(index: &'a Index) -> Result<Replayer<'a>, CalibrateError> {
        let is_read = index.code() != CodeSpec::Full && index.codes_tier() == Tier::Ssd;
        let read = if is_read { index.segments() } else { &[] };
        let open = |segment: &Segment| open_file(&*segment.codes.blob, segment.codes.body_bytes, Direct::Off);
        let mut first_pages = vec![0];
        for segment in index.segments() {
            let pages = segment.vectors(VectorsOf::Main).layout.pages(segment.count);
            first_pages.push(first_pages[first_pages.len() - 1] + pages);
        }
        Ok(Replayer {
            index,
            lists: read.iter().map(open).collect::<Result<_, _>>()?,
            first_pages,
            scan: scan_of(index),
            scores: Scores::open(index)?,
            accept: Accepted::default(),
            terms: Terms::default(),
            subject: Subject::default(),
            prober: Prober::default(),
            recorder: Recorder::default(),
            top_k: TopK::default(),
            progress: Progress::default(),
            bytes: Vec::new(),
            order: Vec::new(),
            burst: Burst::default(),
        })
    }

    /// Makes one search. `seen` is what is known of the query, and grows.
    pub(super) fn search(
        &mut self,
        field: Field<'_>,
        query: usize,
        seen: &mut Seen,
        asked: &Asked,
    ) -> Result<Outcome, CalibrateError> {
        self.see(field, query, seen, asked)?;
        self.choose(field, query, seen, asked);
        let mut outcome = Outcome::default();
        if self.index.code() == CodeSpec::Full {
            let is_searched = |rank: &&u32| self.order.binary_search(rank).is_ok();
            let ranks = &field.ranks[query];
            outcome.found = ranks[..ranks.len().min(asked.plan.k())].iter().filter(is_searched).count();
            for &at in &self.order {
                outcome.vectors_scanned += scanned(seen, at as usize); // CAST: widening
            }
            return Ok(outcome);
        }
        self.collect(seen, asked, &mut outcome);
        if !asked.is_traced {
            self.compare(field, query, seen, asked, &mut outcome)?;
        }
        Ok(outcome)
    }

    /// Records at least the lists that a search takes.
    fn see(
        &mut self,
        field: Field<'_>,
        query: usize,
        seen: &mut Seen,
        asked: &Asked,
    ) -> Result<(), CalibrateError> {
        let all = self.index.found_lists() as usize; // CAST: widening, here and below
        let (lists, k) = ((asked.plan.lists() as usize).min(all), asked.plan.k() as u64);
        loop {
            let known = seen.lists();
            let is_short = seen.counts(known).vectors < k && known < all;
            if known >= lists && !is_short {
                return Ok(());
            }
            // Twice as many, since each time heads are put in order and the query is made ready for codes.
            let more = (2 * known).min(field.lists_max as usize).max(lists);
            let more = if known >= lists { (2 * known).max(1) } else { more };
            self.record(field, query, seen, asked, more.min(all))?;
        }
    }

    /// Records the `lists` nearest lists.
    fn record(
        &mut self,
        field: Field<'_>,
        number: usize,
        seen: &mut Seen,
        asked: &Asked,
        lists: usize,
    ) -> Result<(), CalibrateError> {
        let index = self.index;
        let row = field.queries.row(number);
        self.subject.set(index, row);
        let subject = self.subject.query(index, row, &self.accept);
        self.prober.search(index, subject.head_row, lists as u32, &mut || true); // CAST: lists are numbered by u32
        if !self.prober.nearest().starts_with(&seen.heads) {
            // A longer walk over a graph found what a shorter one missed.
            *seen = Seen { scores: std::mem::take(&mut seen.scores), ..Seen::default() };
        }
        let first = seen.lists();
        let is_coded = index.code() != CodeSpec::Full;
        // Where codes are meant for memory, copies are not there.
        let has_copies = !is_coded || index.manifest().build.codes == Tier::Ssd;
        let place = |&near: &NearList| {
            let place = ListPlace::of(near, &index.segments()[usize::from(near.segment)]);
            let scanned = if has_copies { place.scanned } else { place.primaries };
            ListPlace { scanned, ..place }
        };
        let added = self.prober.nearest().get(first..).unwrap_or_default().to_vec();
        let places: Vec<ListPlace> = added.iter().map(place).collect();
        // Those that values of a partition share are searched with the nearest.
        let shared = if first == 0 { self.prober.all_shared(&subject, &mut || true) } else { &[] };
        let shared: Vec<ListPlace> = shared.iter().map(place).collect();
        seen.heads.extend_from_slice(&added);
        seen.walked = Walked::default();
        let mut counts = seen.counts(first);
        shared.iter().for_each(|place| counts.add(place));
        for place in &places {
            counts.add(place);
            seen.counts.push(counts);
        }
        if !is_coded {
            return Ok(());
        }
        for &(owner, nearest) in self.prober.nearest_heads() {
            let segment = &index.segments()[usize::from(owner)];
            self.scan.prepare(index, segment, QueryRow { row, nearest }, self.subject.code(owner));
        }
        // With codes, names are locations.
        let left_out = field.nearest[number].equals.iter().map(|&name| Location::of_bits(name));
        let recording = std::mem::take(&mut seen.recording);
        self.recorder.begin(asked.keep, &left_out.collect::<Vec<_>>(), recording);
        let (nearest, others) = places.split_at(places.len().min(1));
        let scanned = self
            .scan_places(row, nearest, false)
            .and_then(|()| self.scan_places(row, &shared, true))
            .and_then(|()| self.scan_places(row, others, false));
        seen.recording = self.recorder.take();
        scanned
    }

    /// Records what lists hold; of those `beside` the nearest, as if they were part of the last.
    fn scan_places(
        &mut self,
        row: &[u8],
        places: &[ListPlace],
        is_beside: bool,
    ) -> Result<(), CalibrateError> {
        let query = self.subject.query(self.index, row, &self.accept);
        if self.lists.is_empty() {
            let sink =
                Sink { found: &mut self.recorder, progress: &mut self.progress, stop: None, is_beside };
            self.scan.scan_resident(&query, places, sink, &mut || None);
            return Ok(());
        }
        for place in places {
            let file = &self.lists[usize::from(place.segment)];
            if !is_beside {
                self.recorder.begin_list(0);
            }
            if place.bytes == 0 {
                continue;
            }
            self.bytes.resize(place.bytes as usize, 0); // CAST: a list fits in memory
            file.read_into(place.offset, &mut self.bytes)?;
            let sink =
                Sink { found: &mut self.recorder, progress: &mut self.progress, stop: None, is_beside };
            let list = ReadList { place, bytes: &self.bytes };
            let scanned = self.scan.scan_read(&query, list, sink, &mut || None);
            scanned.map_err(|_| CalibrateError::damaged_list(file, place.list))?;
        }
        Ok(())
    }

    /// The lists that are searched, of those that are known.
    fn choose(&mut self, field: Field<'_>, query: usize, seen: &mut Seen, asked: &Asked) {
        let lists = (asked.plan.lists() as usize).min(seen.lists()); // CAST: widening, here and below
        self.order.clear();
        let segments = self.index.segments();
        if segments.iter().all(|segment| segment.head_index.kind() == HeadIndexKind::Flat) {
            self.order.extend(0..lists as u32);
        } else {
            if seen.walked.lists != lists {
                self.walk(field, query, seen, lists);
            }
            self.order.extend_from_slice(&seen.walked.places);
        }
        let Some(&first) = self.order.first() else { return };
        let bound = asked.plan.probe.head_bound(seen.heads[first as usize].distance);
        let near = self.order.partition_point(|&at| seen.heads[at as usize].distance <= bound).max(1);
        self.order.truncate(near);
        // More where these hold too few vectors.
        let k = asked.plan.k() as u64;
        let fewest = seen.counts.partition_point(|counts| counts.vectors < k) + 1;
        let last = self.order.last().map_or(0, |&last| last + 1);
        self.order.extend(last..fewest.min(seen.lists()) as u32);
    }

    /// Finds the places of the lists that a search for `lists` of them finds by the graph.
    fn walk(&mut self, field: Field<'_>, query: usize, seen: &mut Seen, lists: usize) {
        let row = field.queries.row(query);
        self.subject.set(self.index, row);
        let head_row = self.subject.query(self.index, row, &self.accept).head_row;
        // CAST: lists are numbered by u32
        self.prober.search(self.index, head_row, lists as u32, &mut || true);
        // Both ascend by distance, then by segment and list.
        let key = |near: &NearList| (near.segment, near.list);
        let mut found = self.prober.nearest().iter().peekable();
        let places = seen.heads.iter().zip(0..).filter_map(|(head, place)| {
            while found.next_if(|found| NearList::order(found, head).is_lt()).is_some() {}
            found.next_if(|found| key(found) == key(head)).map(|_| place)
        });
        seen.walked = Walked { lists, places: places.collect() };
    }

    /// Offers what the lists hold.
    fn collect(&mut self, seen: &Seen, asked: &Asked, outcome: &mut Outcome) {
        let follows = asked.is_traced || asked.rule.is_some();
        let collecting = Collecting { copies: asked.keep.copies, follows, terms: &self.terms };
        self.top_k.reset(&asked.plan, collecting);
        let first = self.order.first().map_or(0.0, |&first| seen.heads[first as usize].distance);
        for (searched, &at) in self.order.iter().enumerate() {
            let at = at as usize; // CAST: widening
            self.top_k.begin_list(searched as u32); // CAST: lists are numbered by u32, here and below
            let heads = HeadDistances { first, next: seen.heads[at].distance };
            if asked.rule.is_some_and(|rule| rule.is_enough(searched, heads, || self.top_k.front())) {
                break;
            }
            if asked.is_traced
                && let Some(inputs) = inputs_after(searched, heads, || self.top_k.front())
            {
                outcome.steps.push(TracedStep { lists: searched as u32, inputs });
            }
            let found = seen.recording.of(at);
            if !found.is_empty() {
                self.top_k.offer(found);
            }
            outcome.vectors_scanned += scanned(seen, at);
        }
    }

    /// Compares what estimates leave in doubt, as a search does.
    fn compare(
        &mut self,
        field: Field<'_>,
        number: usize,
        seen: &mut Seen,
        asked: &Asked,
        outcome: &mut Outcome,
    ) -> Result<(), CalibrateError> {
        let (index, row) = (self.index, field.queries.row(number));
        self.subject.set_exact(index, row);
        let query = self.subject.query(index, row, &self.accept);
        let layout = index.page_layout();
        let Burst { locations, reads, pages, scores } = &mut self.burst;
        let room = asked.plan.verify.map_or(0, |verify| asked.plan.compared_max(&verify));
        while self.top_k.is_undecided() {
            let room = room.saturating_sub(outcome.reranked as usize); // CAST: usize is 64 bits
            locations.clear();
            reads.clear();
            scores.clear();
            for candidate in self.top_k.undecided(&query, room).take(room) {
                candidate.compared = true;
                locations.push(candidate.location);
            }
            locations.sort_unstable();
            plan_pages(locations, &layout, index.merging(), |read| reads.push(read));
            let all = self.first_pages.last().copied().unwrap_or_default();
            pages.resize((all / 64 + 1) as usize, 0); // CAST: a bit for each page, here and below
            let bit = |page: PageKey| self.first_pages[usize::from(page.segment())] + page.number();
            let numbers = |read: &PageRead| bit(read.first_page)..bit(read.first_page) + read.pages;
            for number in reads.iter().flat_map(numbers) {
                pages[(number / 64) as usize] |= 1 << (number % 64);
            }
            for candidate in self.top_k.uncompared() {
                let number = bit(PageKey::of(candidate.location, &layout));
                if pages[(number / 64) as usize] >> (number % 64) & 1 == 1 {
                    candidate.compared = true;
                    locations.push(candidate.location);
                }
            }
            for number in reads.iter().flat_map(numbers) {
                pages[(number / 64) as usize] = 0;
            }
            locations.sort_unstable();
            self.scores.of(query.exact, locations, &mut seen.scores, scores)?;
            for (location, &score) in locations.iter().zip(&*scores) {
                self.top_k.exact(score, location.bits());
            }
            outcome.reranked += locations.len() as u64; // CAST: widening
        }
        let distances = &field.nearest[number].distances;
        let truth = &distances[..distances.len().min(asked.plan.k())];
        let Some(&kth) = truth.last() else { return Ok(()) };
        let metric = index.metric();
        let keys = self.top_k.finish().keys;
        let is_hit = |key: &&crate::collect::Key| no_worse(metric, key.distance(metric), kth);
        outcome.found = keys.iter().take(truth.len()).filter(is_hit).count();
        Ok(())
    }
}

/// Vectors scanned in a list.
fn scanned(seen: &Seen, at: usize) -> u64 {
    seen.counts(at + 1).scanned - seen.counts(at).scanned
}

#[cfg(test)]
mod tests;
