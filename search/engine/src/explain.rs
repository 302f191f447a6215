//! How a query was answered, step by step.
use std::fmt;

use spandrel_index::Location;
use spandrel_index::attributes::FilterPart;

use crate::filter_plan::{ExplainedFilter, FilterPlan};
use crate::params::Rerank;

/// Lists, vectors and rounds of an explanation that are told one by one, at most. Of the rest the number is told.
pub const EXPLAINED_MAX: usize = 256;

/// How a query was answered. What it adds up to is in [`Work`](crate::Work), the time by stage in
/// [`Answer::stages`](crate::Answer::stages).
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Explanation {
    /// A list is planned for iff its head is no farther than `1 + epsilon` times the nearest head; none: no such bound.
    pub epsilon: Option<f32>,
    /// Lists planned for at most.
    pub lists_planned: u32,
    /// Lists whose head has a smaller inner product with the query were left out, and are not among `lists`; none: no such bound.
    pub min_head_score: Option<f32>,
    /// Which vectors are compared exactly; none where lists hold exact vectors.
    pub rerank: Option<Rerank>,
    /// How the plan was chosen, where the query has a filter.
    pub filter: Option<ExplainedFilter>,
    /// The parts of the filter, where those who compiled it counted them.
    pub parts: Vec<FilterPart>,
    /// Lists whose heads were considered, nearest first.
    pub lists: First<ExplainedList>,
    /// Lists that were searched besides, wherever the query is, since small values of the index's partition share them.
    pub shared_lists: u32,
    /// Why no further list was searched; of a query document why no further document was compared.
    pub stop: Stop,
    /// Vectors compared exactly after their codes were scanned, burst by burst. In a burst those that were chosen come
    /// first, the likeliest to be near before others, then those that lie in the same pages. Of lists of exact vectors none, nor
    /// where all vectors that match a filter are compared.
    pub compared: First<ExplainedVector>,
    /// Groups of reads that waited for the group before, in order. The last one told holds those that are not.
    pub rounds: Vec<Round>,
    /// How a query document was answered. `lists`, `shared_lists` and `compared` have nothing then, `lists_planned` is that of each search,
    /// and `rounds` are of all searches, which go on side by side, and then of the documents.
    pub documents: Option<Box<ExplainedDocuments>>,
}

/// The first of a sequence, at most [`EXPLAINED_MAX`], and how many come after them.
#[derive(Debug, Clone, PartialEq)]
pub struct First<T> {
    /// At most [`EXPLAINED_MAX`] of them, in order.
    pub items: Vec<T>,
    /// Number of those after them.
    pub more: u32,
}

impl<T> Default for First<T> {
    fn default() -> First<T> {
        First { items: Vec::new(), more: 0 }
    }
}

impl<T> First<T> {
    /// Takes the first, and counts the others without making them.
    pub(crate) fn extend(&mut self, mut items: impl ExactSizeIterator<Item = T>) {
        let room = EXPLAINED_MAX - self.items.len();
        self.items.extend(items.by_ref().take(room));
        self.more += items.len() as u32; // CAST: documents are u32
    }

    pub(crate) fn push(&mut self, item: T) {
        if self.items.len() < EXPLAINED_MAX {
            self.items.push(item);
        } else {
            self.more += 1;
        }
    }
}

/// A list whose head was considered.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ExplainedList {
    /// Number of its segment.
    pub segment: u16,
    /// Its number in the segment.
    pub list: u32,
    /// Distance from the query to its head, Euclidean, in head space.
    pub head_distance: f32,
    /// What became of it.
    pub fate: ListFate,
    /// Vectors of it that were scanned, copies included.
    pub scanned: u32,
}

/// What becomes of a list whose head is considered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListFate {
    /// Searched: among the nearest, as planned.
    Planned,
    /// Searched beyond the plan, since the lists before hold fewer than `k` vectors.
    Needed,
    /// Left out: farther than epsilon allows.
    Epsilon,
    /// Left out: over the bytes that may be asked.
    MaxBytes,
    /// Left out: it holds no vector that may be an answer.
    Empty,
    /// Left out: damaged, or it cannot be read.
    Damaged,
    /// Left out: the lists before have found enough for the recall.
    Enough,
}

impl ListFate {
    /// In one word.
    pub const fn name(self) -> &'static str {
        match self {
            ListFate::Planned => "planned",
            ListFate::Needed => "needed",
            ListFate::Epsilon => "epsilon",
            ListFate::MaxBytes => "max_bytes",
            ListFate::Empty => "empty",
            ListFate::Damaged => "damaged",
            ListFate::Enough => "enough",
        }
    }

    /// Whether such a list is searched.
    pub const fn is_searched(self) -> bool {
        matches!(self, ListFate::Planned | ListFate::Needed)
    }
}

impl fmt::Display for ListFate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Why no further list is searched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Stop {
    /// The planned number is reached.
    Count,
    /// The next head is farther than epsilon allows.
    Epsilon,
    /// The lists hold `k` vectors, for which more were searched than planned.
    Neighbours,
    /// `max_lists` is reached before they do.
    MaxLists,
    /// The bytes that may be asked are spent.
    MaxBytes,
    /// The lists have found enough for the recall.
    Enough,
    /// The others that were looked at have heads of too small a score.
    MinHeadScore,
    /// There is no other.
    #[default]
    All,
}

impl Stop {
    /// In one word.
    pub const fn name(self) -> &'static str {
        match self {
            Stop::Count => "count",
            Stop::Epsilon => "epsilon",
            Stop::Neighbours => "neighbours",
            Stop::MaxLists => "max_lists",
            Stop::MaxBytes => "max_bytes",
            Stop::Enough => "enough",
            Stop::MinHeadScore => "min_head_score",
            Stop::All => "all",
        }
    }
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A vector compared exactly. Distances are as answers show them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ExplainedVector {
    /// Segment and position of the vector.
    pub location: Location,
    /// Burst of comparisons that it belongs to, from 1.
    pub burst: u32,
    /// Whether it was compared only because its page was needed for another.
    pub beside: bool,
    /// Its distance as estimated from its code.
    pub estimate: f32,
    /// Standard error of the estimate.
    pub error: f32,
    /// Its id and its exact distance; none where its page is damaged or cannot be read.
    pub exact: Option<Exact>,
}

/// What an exact comparison gives.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Exact {
    /// The caller's number for the vector.
    pub id: u64,
    /// Exact distance, in the units of the metric.
    pub distance: f32,
}

/// Reads that are asked for together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Round {
    /// Lists or pages that the round reads.
    pub part: ReadPart,
    /// Requests to the disk.
    pub reads: u32,
    /// Bytes that the round asked for.
    pub bytes: u64,
}

/// What queries read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadPart {
    /// Lists, of codes or of exact vectors.
    Lists,
    /// Pages of vectors.
    Vectors,
}

impl ReadPart {
    /// In one word.
    pub const fn name(self) -> &'static str {
        match self {
            ReadPart::Lists => "lists",
            ReadPart::Vectors => "vectors",
        }
    }
}

/// What is told of a query document besides.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ExplainedDocuments {
    /// What searched for documents.
    pub by: SearchedBy,
    /// The searches: one for each token, in their order, or the one of the encoding. Together they tell [`EXPLAINED_MAX`] lists at most,
    /// each the same number of them, and one at least.
    pub searches: First<ExplainedSearch>,
    /// Documents that were chosen to be compared, the best by their estimates first.
    pub compared: First<ExplainedDocument>,
}

/// What searches for the documents that are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SearchedBy {
    /// Each token of the query.
    #[default]
    Tokens,
    /// The encoding of the query.
    Encoding,
    /// Nothing: all documents that match the filter are compared.
    Filter,
}

impl SearchedBy {
    /// In one word.
    pub const fn name(self) -> &'static str {
        match self {
            SearchedBy::Tokens => "tokens",
            SearchedBy::Encoding => "encoding",
            SearchedBy::Filter => "filter",
        }
    }
}

/// A search of lists by a token or by an encoding.
#[derive(Debug, Clone, PartialEq)]
pub struct ExplainedSearch {
    /// How it searched among what matches the filter, where there is one.
    pub plan: Option<FilterPlan>,
    /// Lists whose heads were considered, nearest first.
    pub lists: First<ExplainedList>,
    /// Why no further list was searched.
    pub stop: Stop,
    /// Codes compared.
    pub scanned: u64,
    /// Vectors kept by their estimates.
    pub kept: u32,
    /// The least of these estimates, which counts for each document that this search has not found; none where nothing was kept.
    pub floor: Option<f32>,
    /// Requests to the disk.
    pub reads: u32,
    /// Bytes that they asked for.
    pub read_bytes: u64,
}

/// A document that was chosen to be compared.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ExplainedDocument {
    /// Its number in the index.
    pub document: u32,
    /// The caller's number for it.
    pub id: u64,
    /// Searches that found it.
    pub found_by: u32,
    /// The sum of its estimates, with the floor of each search that has not found it; none where no search has.
    pub estimate: Option<f32>,
    /// Its MaxSim; none where a page of it is damaged or cannot be read.
    pub score: Option<f32>,
}

impl Explanation {
    /// Counts a round of reads.
    pub(crate) fn asked(&mut self, round: Round) {
        let is_full = self.rounds.len() == EXPLAINED_MAX;
        match self.rounds.last_mut() {
            Some(last) if is_full => {
                last.reads += round.reads;
                last.bytes += round.bytes;
            }
            _ => self.rounds.push(round),
        }
    }

    /// Takes in the exact distance of a vector that was chosen.
    pub(crate) fn compared(&mut self, location: Location, exact: Exact) {
        let told = self.compared.items.iter_mut().find(|vector| vector.location == location);
        told.into_iter().for_each(|vector| vector.exact = Some(exact));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_told_is_counted() {
        let mut first = First::default();
        (0..300).for_each(|number| first.push(number));
        assert_eq!((first.items.len(), first.items.last(), first.more), (256, Some(&255), 44));
        let (mut extended, mut made) = (First::default(), 0);
        extended.extend((0..300).inspect(|_| made += 1));
        assert_eq!((extended, made), (first, 256));
        let mut explanation = Explanation::default();
        (0..300).for_each(|_| explanation.asked(Round { part: ReadPart::Vectors, reads: 2, bytes: 8192 }));
        assert_eq!(explanation.rounds.len(), 256);
        assert_eq!(explanation.rounds.iter().map(|round| round.reads).sum::<u32>(), 600);
        assert_eq!(explanation.rounds.iter().map(|round| round.bytes).sum::<u64>(), 300 * 8192);
    }
}
