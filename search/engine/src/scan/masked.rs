//! Codes in memory of which some match a filter: the blocks of sixteen that hold one, wherever they lie.
//!
//! A block alone costs a miss of the cache or several, so that blocks are gathered first and asked for ahead.
use std::ops::Range;

use spandrel_index::kernels::scan::{BLOCK_VECTORS, Blocks, FACTOR_BYTES, ScanKernel, prefetch};
use spandrel_index::{Location, SegmentMatches};

use super::segment::{model, resident};
use crate::collect::{Collect, Estimated};
use crate::costs::{MaskedCost, masked_takes_less};
use crate::subject::Query;
use crate::terms::End;

/// Blocks gathered before they are scanned: a tenth of a millisecond.
const GATHERED: usize = 1024;
/// Blocks between one that is scanned and one that is asked for.
const AHEAD: usize = 8;
/// A block with fewer matches than this offers all of them.
const FEW: u32 = 3;
/// Matches that are offered together.
const OFFERED: usize = 64;

/// A block that holds a match.
#[derive(Debug, Clone, Copy)]
struct Masked {
    segment: u16,
    /// Those of its vectors that match, the first in the lowest bit.
    mask: u16,
    /// Number of the block in its segment.
    block: u32,
    /// The list that these are from.
    list: u32,
    /// Squared distance from the query to its head, once that is known.
    head_distance: f32,
}

/// A list of which some vectors match, or the part of it that is looked at.
#[derive(Debug, Clone)]
pub(super) struct MaskedList {
    pub(super) segment: u16,
    pub(super) list: u32,
    pub(super) positions: Range<u32>,
    /// Squared distance from the query to its head; none where it is to be computed.
    pub(super) head_distance: Option<f32>,
}

/// Estimates matches block by block.
#[derive(Debug, Default)]
pub(super) struct MaskedScan {
    kernel: ScanKernel,
    blocks: Vec<Masked>,
    estimated: Vec<Estimated>,
}

impl MaskedScan {
    /// Begins with nothing gathered: a search that was given up may have left blocks.
    pub(super) fn begin(&mut self) {
        self.blocks.clear();
    }

    /// Gathers the blocks of a list that hold a match: how many vectors of the list they hold.
    pub(super) fn gather(&mut self, list: MaskedList, matches: &SegmentMatches) -> u64 {
        let MaskedList { segment, list, positions, head_distance } = list;
        let first = self.blocks.len();
        let block_of = |position: u32| position / BLOCK_VECTORS as u32;
        let head_distance = head_distance.unwrap_or(f32::NAN);
        for position in matches.within(positions.clone()) {
            let (block, bit) = (block_of(position), 1 << (position % BLOCK_VECTORS as u32));
            match self.blocks[first..].last_mut() {
                Some(last) if last.block == block => last.mask |= bit,
                _ => self.blocks.push(Masked { segment, mask: bit, block, list, head_distance }),
            }
        }
        let lanes = |masked: &Masked| {
            let start = masked.block * BLOCK_VECTORS as u32;
            let end = start.saturating_add(BLOCK_VECTORS as u32).min(positions.end);
            u64::from(end - start.max(positions.start))
        };
        self.blocks[first..].iter().map(lanes).sum()
    }

    /// As [`MaskedScan::gather`], where that takes less time than to scan the list whole; else nothing is gathered. `accepted` of its
    /// vectors match.
    pub(super) fn gather_if_few(
        &mut self,
        list: MaskedList,
        accepted: u64,
        matches: &SegmentMatches,
    ) -> Option<u64> {
        let vectors = list.positions.len();
        let matching = accepted as usize; // CAST: usize is 64 bits
        let is_less = |blocks: usize| masked_takes_less(MaskedCost { blocks, matching, vectors });
        // Matches that lie together as closely as they can.
        if !is_less(matching.div_ceil(BLOCK_VECTORS)) {
            return None;
        }
        let first = self.blocks.len();
        let held = self.gather(list, matches);
        if is_less(self.blocks.len() - first) {
            return Some(held);
        }
        self.blocks.truncate(first);
        None
    }

    /// Scans what is left in the end, if anything is. `end` is asked afterwards whether to go on.
    pub(super) fn scan_rest(
        &mut self,
        query: &Query<'_>,
        found: &mut dyn Collect,
        end: &mut dyn FnMut() -> Option<End>,
    ) -> Option<End> {
        if self.blocks.is_empty() {
            return None;
        }
        self.scan(query, found);
        end()
    }

    /// Scans what was gathered if it is enough for one turn. `end` is asked before whether to go on; if not, what was gathered is
    /// forgotten.
    pub(super) fn scan_if_full(
        &mut self,
        query: &Query<'_>,
        found: &mut dyn Collect,
        end: &mut dyn FnMut() -> Option<End>,
    ) -> Option<End> {
        if self.blocks.len() < GATHERED {
            return None;
        }
        let ended = end();
        match ended {
            Some(_) => self.blocks.clear(),
            None => self.scan(query, found),
        }
        ended
    }

    /// Estimates the matches that were gathered, and forgets them.
    fn scan(&mut self, query: &Query<'_>, found: &mut dyn Collect) {
        self.find_heads(query);
        let mut estimates = [0.0; BLOCK_VECTORS];
        for at in 0..self.blocks.len() {
            if let Some(next) = self.blocks.get(at + AHEAD) {
                let next = block(query, next);
                prefetch(next.rows);
                prefetch(next.factors);
            }
            let masked = &self.blocks[at];
            let segment = query.segment(masked.segment);
            let code = query.code(segment);
            let blocks = block(query, masked);
            let terms = code.terms(masked.head_distance);
            model(segment).scan(&self.kernel, code, blocks, terms, &mut estimates);
            let (blocks, _) = blocks.factors.as_chunks::<FACTOR_BYTES>();
            // To look for what is of use takes as long as to offer a few.
            let limit = match masked.mask.count_ones() {
                0..FEW => f32::INFINITY,
                _ => found.limit(code.error_max(&terms, blocks)),
            };
            let mut mask = masked.mask;
            while mask != 0 {
                let lane = mask.trailing_zeros();
                mask &= mask - 1;
                let estimate = estimates[lane as usize];
                // Lets an estimate through that is no number.
                if estimate > limit {
                    continue;
                }
                let location = Location::new(masked.segment, masked.block * BLOCK_VECTORS as u32 + lane);
                let error = code.error(&terms, &blocks[0], lane as usize);
                self.estimated.push(Estimated { location, estimate, error });
            }
            if self.estimated.len() >= OFFERED {
                found.offer(&self.estimated);
                self.estimated.clear();
            }
        }
        found.offer(&self.estimated);
        self.estimated.clear();
        self.blocks.clear();
    }

    /// Computes the distances to heads that are not known.
    fn find_heads(&mut self, query: &Query<'_>) {
        for at in 0..self.blocks.len() {
            if !self.blocks[at].head_distance.is_nan() {
                continue;
            }
            let owner = |masked: &Masked| query.segment(query.segment(masked.segment).heads_of);
            if let Some(next) = self.blocks.get(at + AHEAD) {
                prefetch(owner(next).heads.row(next.list));
            }
            let before = at.checked_sub(1).map(|before| self.blocks[before]);
            let masked = &mut self.blocks[at];
            let is_same = |before: &Masked| (before.segment, before.list) == (masked.segment, masked.list);
            masked.head_distance = match before.filter(is_same) {
                Some(before) => before.head_distance,
                None => {
                    let (heads, mut distance) = (&owner(masked).heads, [0.0]);
                    heads.kernel().score_rows(query.head_row, heads.row(masked.list), &mut distance);
                    distance[0]
                }
            };
        }
    }
}

/// The rows and the factors of a block.
#[inline]
fn block<'a>(query: &Query<'a>, masked: &Masked) -> Blocks<'a> {
    let first = masked.block * BLOCK_VECTORS as u32;
    let range = resident(query.segment(masked.segment)).range(first..first + 1);
    Blocks { rows: range.rows, factors: range.factors }
}
