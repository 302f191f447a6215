//! What a query gets back.
use std::fmt;
use std::time::Instant;

use spandrel_filter::Cell;

use crate::StageTimes;
use crate::explain::Explanation;
use crate::filter_plan::Filtered;
use crate::pruning::Promise;

/// One vector found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Neighbour {
    /// The caller's number for it.
    pub id: u64,
    /// Squared L2, `1 - cos`, or the inner product itself.
    pub distance: f32,
    /// Whether the distance is an estimate from the vector's code.
    pub estimated: bool,
}

/// What answering took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Work {
    /// Lists chosen, and those that are searched in any case since values of a partition share them.
    pub lists: u32,
    /// Requests to the disk, after neighbouring lists were merged.
    pub reads: u32,
    /// 4 KiB pages of the file that the requests touch.
    pub pages: u32,
    /// Groups of reads that waited for the group before, repeated reads included.
    pub rounds: u32,
    /// Bytes that reads asked for.
    pub read_bytes: u64,
    /// Vectors compared or estimated from their codes, copies counted each time.
    pub vectors_scanned: u64,
    /// Vectors that might be among the nearest, by their estimates.
    pub candidates: u32,
    /// Pages found in the cache, for which nothing was read.
    pub cache_hits: u32,
    /// Vectors compared exactly after their codes were scanned.
    pub reranked: u32,
    /// Documents compared exactly, whose vectors `reranked` counts.
    pub documents: u32,
    /// Distances to heads computed.
    pub head_distances: u32,
}

impl Work {
    /// Adds what another query took.
    pub(crate) fn add(&mut self, other: &Work) {
        self.lists += other.lists;
        self.reads += other.reads;
        self.pages += other.pages;
        self.rounds += other.rounds;
        self.read_bytes += other.read_bytes;
        self.vectors_scanned += other.vectors_scanned;
        self.candidates += other.candidates;
        self.cache_hits += other.cache_hits;
        self.reranked += other.reranked;
        self.documents += other.documents;
        self.head_distances += other.head_distances;
    }
}

/// A limit that was given with a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// [`SearchParams::max_lists`](crate::SearchParams::max_lists).
    MaxLists,
    /// [`SearchParams::max_bytes`](crate::SearchParams::max_bytes).
    MaxBytes,
    /// [`RangeParams::max_results`](crate::RangeParams::max_results).
    MaxResults,
    /// [`SearchParams::min_head_score`](crate::SearchParams::min_head_score).
    MinHeadScore,
}

impl Limit {
    /// As the parameter is spelled.
    pub const fn name(self) -> &'static str {
        match self {
            Limit::MaxLists => "max_lists",
            Limit::MaxBytes => "max_bytes",
            Limit::MaxResults => "max_results",
            Limit::MinHeadScore => "min_head_score",
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Parts of an index that an answer misses, since they are damaged or cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Missing {
    /// Lists that could not be used.
    pub lists: u32,
    /// Pages of vectors that could not be used.
    pub pages: u32,
}

impl Missing {
    /// Parts in all.
    pub fn parts(self) -> u32 {
        self.lists + self.pages
    }
}

/// The answer to one query.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Answer {
    /// Best first, ties by id. `k` of them, or all there are, unless `limited_by` or `missing` says why not.
    pub neighbours: Vec<Neighbour>,
    /// What each neighbour has in the attributes that were fetched, neighbour by neighbour; empty before
    /// [`HandOut::give`](crate::HandOut::give).
    pub cells: Vec<Cell>,
    /// What it took.
    pub work: Work,
    /// When a worker took the query; none in an answer from elsewhere.
    pub taken: Option<Instant>,
    /// Microseconds from then to its answer.
    pub latency_us: f32,
    /// Where that time went, if it was asked for.
    pub stages: Option<StageTimes>,
    /// How it was found, if that was asked for.
    pub explanation: Option<Box<Explanation>>,
    /// What was left out: the answer is not whole unless that is nothing.
    pub missing: Missing,
    /// The limit that cut the answer short: `max_bytes` where lists or candidates were left out for it, `max_lists` or
    /// `min_head_score` where fewer neighbours than asked for are returned although there are more.
    pub limited_by: Option<Limit>,
    /// How the vectors that match the query's filter were searched; none without a filter, and in an answer from elsewhere. Where
    /// fewer than `k` match all are returned, unless a limit or damage left some out.
    pub filtered: Option<Filtered>,
    /// The recall asked for, and what is to be expected of this answer; none where the query named its own pruning, and in
    /// an answer from elsewhere.
    pub promise: Option<Promise>,
}
