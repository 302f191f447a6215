//! Lists of codes: estimates with errors, of which those that may be among the nearest are kept.
use std::ops::Range;

use spandrel_index::codes::CodeQuery;
use spandrel_index::format::CodedLayout;
use spandrel_index::kernels::below;
use spandrel_index::kernels::scan::{BLOCK_VECTORS, Blocks, FACTOR_BYTES, ScanKernel, prefetch};
use spandrel_index::{CodeRange, Index, Location, Segment, for_each_element};
use spandrel_io::Merging;

use super::contract::{QueryRow, ReadList, Scan, Sink, check};
use super::masked::{MaskedList, MaskedScan};
use super::segment::{codes_bytes, model, resident};
use crate::collect::{Collect, Estimated};
use crate::damage::DamageReason;
use crate::fetch::ListPlace;
use crate::near_share::NearShare;
use crate::stop::HeadDistances;
use crate::subject::Query;
use crate::terms::{End, PIECE_BYTES};

/// Codes in memory of up to this many bytes lie in a cache. Prefetching them costs more than it saves: on 50 000 vectors
/// a tenth of a query's time, where on 1 000 000 it saves a fifth.
const CACHED_BYTES: usize = 8 << 20;

/// Codes in blocks, some of whose lanes are a list's vectors.
#[derive(Debug, Clone, Copy)]
struct ListBlocks<'a> {
    segment: &'a Segment,
    blocks: Blocks<'a>,
    /// Squared distance from the query to the list's head.
    head_distance: f32,
}

/// Estimates distances from codes.
#[derive(Debug)]
pub(crate) struct CodedScan {
    layout: CodedLayout,
    kernel: ScanKernel,
    query: Vec<f32>,
    nearest: Vec<f32>,
    estimates: Vec<f32>,
    picks: Vec<u32>,
    estimated: Vec<Estimated>,
    masked: MaskedScan,
}

impl CodedScan {
    pub(crate) fn new(layout: CodedLayout) -> CodedScan {
        CodedScan {
            layout,
            kernel: ScanKernel::default(),
            query: Vec::new(),
            nearest: Vec::new(),
            estimates: Vec::new(),
            picks: Vec::new(),
            estimated: Vec::new(),
            masked: MaskedScan::default(),
        }
    }

    /// Offers the vectors in `lanes` of `blocks`; `location` tells that of a lane.
    fn scan(
        &mut self,
        query: &Query<'_>,
        list: ListBlocks<'_>,
        lanes: Range<usize>,
        location: impl Fn(usize) -> Location,
        found: &mut dyn Collect,
        near: &mut NearShare,
    ) {
        let ListBlocks { segment, blocks, head_distance } = list;
        let (model, code) = (model(segment), query.code(segment));
        let factor_blocks = blocks.factors.as_chunks::<FACTOR_BYTES>().0;
        let terms = code.terms(head_distance);
        self.estimates.resize(factor_blocks.len() * BLOCK_VECTORS, 0.0);
        model.scan(&self.kernel, code, blocks, terms, &mut self.estimates);
        let limit = found.limit(code.error_max(&terms, factor_blocks));
        self.picks.clear();
        below(&self.estimates[lanes.clone()], limit, &mut self.picks);
        self.estimated.clear();
        let block = |pick: u32| (lanes.start + pick as usize) / BLOCK_VECTORS;
        let takes_all = query.accept.is_all() && !near.is_counted();
        for picks in self.picks.chunk_by(|&a, &b| block(a) == block(b)) {
            let error = code.errors(&terms, &factor_blocks[block(picks[0])]);
            let estimated = |pick: u32| {
                let lane = lanes.start + pick as usize;
                let (location, estimate) = (location(lane), self.estimates[lane]);
                Estimated { location, estimate, error: error(lane % BLOCK_VECTORS) }
            };
            if takes_all {
                self.estimated.extend(picks.iter().map(|&pick| estimated(pick)));
                continue;
            }
            self.estimated.extend(picks.iter().filter_map(|&pick| {
                let lane = lanes.start + pick as usize;
                let is_match = query.accept.has(location(lane));
                near.add(self.estimates[lane], is_match);
                is_match.then(|| estimated(pick))
            }));
        }
        found.offer(&self.estimated);
    }

    /// Gathers the blocks of a list that hold a match, where that takes less time than to scan it whole: how many of its vectors
    /// they hold.
    fn gather(&mut self, query: &Query<'_>, place: &ListPlace) -> Option<u64> {
        let matches = query.accept.of_segment(place.segment)?;
        let list = MaskedList {
            segment: place.segment,
            list: place.list,
            positions: query.segment(place.segment).directory.positions(place.list),
            head_distance: Some(place.distance),
        };
        self.masked.gather_if_few(list, place.accepted, matches)
    }
}

impl Scan for CodedScan {
    fn gap_bytes(&self, merging: Merging) -> u64 {
        merging.gap_bytes
    }

    fn prepare(&mut self, index: &Index, owner: &Segment, query: QueryRow<'_>, out: &mut CodeQuery) {
        let model = model(owner);
        self.query.clear();
        index.space().float_query(index.dtype(), query.row, &mut self.query);
        self.nearest.clear();
        let heads = &owner.heads;
        for_each_element(heads.dtype(), heads.row(query.nearest), |x| self.nearest.push(x));
        // The element that lifts inner product is 0 in every query.
        self.nearest.truncate(model.dim());
        out.prepare(model, &self.query, &self.nearest);
    }

    /// Asks `end` after each [`PIECE_BYTES`] of codes.
    fn scan_resident(
        &mut self,
        query: &Query<'_>,
        places: &[ListPlace],
        sink: Sink<'_>,
        end: &mut dyn FnMut() -> Option<End>,
    ) -> Option<End> {
        self.masked.begin();
        let Sink { found, progress, stop, is_beside } = sink;
        let skips = !progress.near.is_counted() && (query.accept.skips() || progress.is_sparse);
        let codes_bytes = codes_bytes(query.index);
        let vector_bytes = codes_bytes.div_ceil(query.index.vectors().max(1) as usize); // CAST: usize is 64 bits
        let piece_max = (PIECE_BYTES / vector_bytes.max(1)).max(1) as u32; // CAST: at most `PIECE_BYTES`
        // Vectors since `end` was asked.
        let mut scanned = piece_max;
        let ahead = codes_bytes > CACHED_BYTES;
        for (at, place) in places.iter().enumerate() {
            if !is_beside {
                found.begin_list(at as u32); // CAST: lists are numbered by u32
                progress.near.begin_list(at as u32); // CAST: lists are numbered by u32
            }
            let heads = HeadDistances { first: places[0].distance, next: place.distance };
            let front = || if progress.near.is_counted() { progress.near.front() } else { found.front() };
            if stop.is_some_and(|rule| rule.is_enough(at, heads, front)) {
                progress.unsearched = (places.len() - at) as u32; // CAST: as before
                progress.work.lists -= progress.unsearched;
                break;
            }
            if let Some(next) = places.get(at + 1).filter(|_| ahead && !skips) {
                let segment = query.segment(next.segment);
                let range = resident(segment).range(segment.directory.positions(next.list));
                prefetch(range.rows);
                prefetch(range.factors);
            }
            if place.accepted == 0 && !progress.near.is_counted() {
                continue;
            }
            if skips && let Some(held) = self.gather(query, place) {
                progress.scanned(place.key(), held);
                if let Some(end) = self.masked.scan_if_full(query, found, end) {
                    return Some(end);
                }
                continue;
            }
            let segment = query.segment(place.segment);
            let codes = resident(segment);
            let mut rest = segment.directory.positions(place.list);
            while !rest.is_empty() {
                if scanned == piece_max {
                    if let Some(end) = end() {
                        return Some(end);
                    }
                    scanned = 0;
                }
                let count = (rest.len() as u32).min(piece_max - scanned); // CAST: a range of u32 positions
                let range = codes.range(rest.start..rest.start + count);
                let lane = (rest.start - range.first) as usize;
                let lanes = lane..lane + count as usize;
                let CodeRange { first, rows, factors } = range;
                let blocks = Blocks { rows, factors };
                let list = ListBlocks { segment, blocks, head_distance: place.distance };
                let location = |lane: usize| Location::new(place.segment, first + lane as u32); // CAST: a position of the segment, below 2^32
                self.scan(query, list, lanes, location, found, &mut progress.near);
                progress.scanned(place.key(), count.into());
                rest.start += count;
                scanned += count;
            }
        }
        self.masked.scan_rest(query, found, end)
    }

    /// Goes through the lists in the order of positions, and scans each block that holds a match.
    fn scan_matches(
        &mut self,
        query: &Query<'_>,
        sink: Sink<'_>,
        end: &mut dyn FnMut() -> Option<End>,
    ) -> Option<End> {
        self.masked.begin();
        let matches = query.accept.matches()?;
        for (number, of_segment) in (0..).zip(matches.segments()) {
            let directory = &query.segment(number).directory;
            let mut next = of_segment.within(0..u32::MAX).next();
            let mut list = 0;
            while let Some(position) = next {
                list = directory.list_of(position, list);
                let positions = directory.positions(list);
                next = of_segment.within(positions.end..u32::MAX).next();
                let list = MaskedList { segment: number, list, positions, head_distance: None };
                sink.progress.work.vectors_scanned += self.masked.gather(list, of_segment);
                if let Some(end) = self.masked.scan_if_full(query, sink.found, end) {
                    return Some(end);
                }
            }
        }
        self.masked.scan_rest(query, sink.found, end)
    }

    fn scan_read(
        &mut self,
        query: &Query<'_>,
        list: ReadList<'_>,
        sink: Sink<'_>,
        end: &mut dyn FnMut() -> Option<End>,
    ) -> Result<Option<End>, DamageReason> {
        let Sink { found, progress, .. } = sink;
        let segment = query.segment(list.place.segment);
        if let Some(end) = check(segment, list, end)? {
            return Ok(Some(end));
        }
        let (place, vectors) = (list.place, segment.count);
        let view = self.layout.view(list.bytes, place.primaries, place.replicas, vectors);
        let view = view.map_err(|stray| DamageReason::Position { position: stray.position, vectors })?;
        progress.clock.lap(|times| &mut times.verify_us);
        let start = segment.directory.first_position(place.list);
        let location = |lane: usize| {
            let position = match lane.checked_sub(place.primaries as usize) {
                None => start + lane as u32, // CAST: a position of the segment, below 2^32
                Some(replica) => view.position(replica),
            };
            Location::new(place.segment, position)
        };
        let block_bytes = view.rows.len() / (view.factors.len() / FACTOR_BYTES).max(1);
        let scanned = place.scanned as usize;
        let blocks = scanned.div_ceil(BLOCK_VECTORS);
        let piece_blocks = (PIECE_BYTES / block_bytes.max(1)).max(1);
        let matches = query.accept.of_segment(place.segment).filter(|_| query.accept.skips());
        let is_wanted = |block: usize| {
            let lanes = block * BLOCK_VECTORS..scanned.min((block + 1) * BLOCK_VECTORS);
            match matches {
                None => true,
                Some(matches) if lanes.end <= place.primaries as usize => {
                    matches.mask(start + lanes.start as u32) & lane_mask(lanes.len()) != 0 // CAST: a position of the segment, below 2^32
                }
                Some(matches) => lanes.into_iter().any(|lane| matches.contains(location(lane).position())),
            }
        };
        // Blocks to be scanned before `end` is asked.
        let (mut next, mut lanes_scanned, mut left) = (0, 0, piece_blocks);
        while let Some(first) = (next..blocks).find(|&block| is_wanted(block)) {
            if left == 0 {
                if let Some(end) = end() {
                    progress.scanned(place.key(), lanes_scanned);
                    return Ok(Some(end));
                }
                left = piece_blocks;
            }
            let most = (first + left).min(blocks);
            let end = match matches {
                None => most,
                Some(_) => (first + 1..most).find(|&block| !is_wanted(block)).unwrap_or(most),
            };
            let blocks = Blocks {
                rows: &view.rows[first * block_bytes..end * block_bytes],
                factors: &view.factors[first * FACTOR_BYTES..end * FACTOR_BYTES],
            };
            let piece = ListBlocks { segment, blocks, head_distance: place.distance };
            let before = first * BLOCK_VECTORS;
            let lanes = scanned.min(end * BLOCK_VECTORS) - before;
            self.scan(query, piece, 0..lanes, |lane| location(before + lane), found, &mut progress.near);
            lanes_scanned += lanes as u64; // CAST: widening
            left -= end - first;
            next = end;
        }
        progress.scanned(place.key(), lanes_scanned);
        progress.clock.lap(|times| &mut times.scan_us);
        Ok(None)
    }
}

/// The lowest `lanes` bits of sixteen.
fn lane_mask(lanes: usize) -> u16 {
    u16::MAX >> (BLOCK_VECTORS - lanes)
}
