//! Matches that lie together: all in a few runs of positions, and so in lists that are known without a search for heads.
use std::ops::Range;

use spandrel_index::{Index, Matches, Segment};

use crate::pruning::{Aim, Pruning};

/// Lists whose heads are compared one by one at most: a search among all heads takes as long.
const LISTS_MAX: u32 = 8192;
/// Vectors all around the query take a number of lists; this multiple of it is searched, since all matches may lie on one side of
/// the query, or far away.
const FAR: u32 = 6;

/// The lists that hold the runs of a filter.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Together {
    /// Number of these lists.
    pub(crate) lists: u32,
    /// Positions of the runs.
    pub(crate) positions: u64,
    /// Of these positions, those that match.
    pub(crate) share: f64,
    /// Whether they are of a few vectors in lists that values of a partition share, which are not ordered by nearness.
    pub(crate) is_small: bool,
}

impl Together {
    /// None where matches lie in many places, or in more than half of the lists unless they are few in lists that values share.
    ///
    /// None also where all vectors match, which are searched without a filter: with many empty lists they might lie in half of them.
    pub(crate) fn of(matches: &Matches, index: &Index) -> Option<Together> {
        let are_runs = matches.segments().iter().all(|of| of.count() == 0 || !of.runs().is_empty());
        if matches.count() == 0 || matches.count() == index.vectors() || !are_runs {
            return None;
        }
        let lists = runs_of(matches, index).map(|run| run.lists.len() as u32).sum(); // CAST: lists are numbered by u32
        let few = |run: &RunLists<'_>| {
            let least = run.segment.partition().map_or(0, |partition| partition.own_vectors_min);
            run.lists.start >= shared_from(run.segment) && matches.count() < least
        };
        let is_small = runs_of(matches, index).all(|run| few(&run));
        if lists > LISTS_MAX.min(index.lists() / 2) && !is_small {
            return None;
        }
        let runs = matches.segments().iter().flat_map(|of| of.runs());
        let positions = runs.map(|run| run.len() as u64).sum(); // CAST: widening
        Some(Together {
            lists,
            positions,
            share: matches.count() as f64 / positions as f64, // CAST: a ratio
            is_small,
        })
    }

    /// What a query for `k` neighbours spends on them.
    ///
    /// What is known of an index with a partition is of vectors in all lists, of which those that values share are always
    /// searched: what is missed is in the others.
    pub(crate) fn pruning(&self, index: &Index, k: usize, aim: Aim) -> Pruning {
        let own = index.found_vectors() as f64 / index.vectors().max(1) as f64; // CAST: a ratio
        let stricter = Aim { recall: 1.0 - own * (1.0 - aim.recall), ..aim };
        let pruning = Pruning::among(index, k, self.share, stricter);
        let lists = pruning.max_lists.saturating_mul(FAR);
        Pruning {
            max_lists: lists.min(self.lists).min(aim.lists_max),
            recall: pruning.recall.map(|recall| (1.0 - (1.0 - recall) / own).max(0.0)),
            ..pruning
        }
    }
}

/// The first of the lists of a segment that values of a partition share.
pub(crate) fn shared_from(segment: &Segment) -> u32 {
    let shared = segment.partition().map_or(0, |partition| partition.shared_lists);
    segment.lists() - shared as u32 // CAST: at most the lists
}

/// Lists of a segment that hold a run, but for those of the run before.
pub(crate) struct RunLists<'a> {
    /// Number of the segment.
    pub(crate) number: u16,
    pub(crate) segment: &'a Segment,
    pub(crate) lists: Range<u32>,
}

/// The lists that hold the runs of a filter, ascending.
pub(crate) fn runs_of<'a>(matches: &'a Matches, index: &'a Index) -> impl Iterator<Item = RunLists<'a>> {
    let segments = (0..).zip(index.segments()).zip(matches.segments());
    segments.flat_map(|((number, segment), of)| {
        let (mut from, mut next) = (0, 0);
        of.runs().iter().map(move |run| {
            from = segment.directory.list_of(run.start, from);
            let end = segment.directory.list_of(run.end - 1, from) + 1;
            // The list that a run ends in may be the one that the next begins in.
            let lists = from.max(next)..end;
            next = end;
            RunLists { number, segment, lists }
        })
    })
}
