//! Why no vectors can be made of scores.
use spandrel_index::SourceError;
use spandrel_names::{size_left, size_needed};

use super::limits::{ANCHOR_QUERIES_MIN, ITEMS_MAX, SIDE_MAX};
use crate::file::FileError;
use crate::watch::Stopped;

/// Why no vectors can be made of scores.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CurError {
    /// Too few anchor queries to learn from and to hold some back. Score more.
    #[error("{found} anchor queries, expected {ANCHOR_QUERIES_MIN} or more: score more queries")]
    FewQueries {
        /// Rows of scores.
        found: usize,
    },
    /// A vector of an item has an element for each anchor query, and an index takes no longer ones.
    #[error("{found} anchor queries, expected at most {max}: a vector of an item has an element for each")]
    ManyQueries {
        /// Rows of scores.
        found: usize,
        /// What an index takes.
        max: usize,
    },
    /// There is nothing to search.
    #[error("{found} items, expected 1 to {ITEMS_MAX}")]
    Items {
        /// Columns of scores.
        found: usize,
    },
    /// A score that cannot be compared. Score the pair again.
    #[error("{name}: the score in row {row}, column {column} is {value}, expected a finite number")]
    NotFinite {
        /// Name of the scores, a path where they are a file.
        name: String,
        /// Number of the query.
        row: usize,
        /// Number of the item.
        column: usize,
        /// The score found: NaN or an infinity.
        value: f32,
    },
    /// A number of anchors that makes no sense.
    #[error("{found} anchor items, expected 1 to the {items} items")]
    AnchorCount {
        /// Anchors asked for.
        found: usize,
        /// Items that the scores have columns for.
        items: usize,
    },
    /// Fewer items than wanted have scores that differ from those of the anchors before. Ask for fewer.
    #[error(
        "{found} of {wanted} anchor items: no other adds anything to these; ask for {found}, or choose at random"
    )]
    AnchorsAlike {
        /// Anchors that are left.
        found: usize,
        /// Anchors asked for.
        wanted: usize,
    },
    /// No such item. Items are numbered from 0 by their columns.
    #[error("anchor {at} is item {anchor}, expected 0 to {}", items - 1)]
    AnchorRange {
        /// Number of the anchor.
        at: usize,
        /// Item number given, from 0.
        anchor: u64,
        /// Items that the scores have columns for.
        items: usize,
    },
    /// The same item stands twice. Leave one out.
    #[error("anchors {first} and {second} are both item {anchor}")]
    AnchorTwice {
        /// Item number given twice, from 0.
        anchor: u64,
        /// Number of the anchor that came first.
        first: usize,
        /// Number of the other.
        second: usize,
    },
    /// The decomposition takes time with the cube of the smaller number. Give fewer of either.
    #[error(
        "{queries} anchor queries and {anchors} anchor items, expected at most {SIDE_MAX} of one of them"
    )]
    Side {
        /// Anchor queries.
        queries: usize,
        /// Anchor items.
        anchors: usize,
    },
    /// Not a ridge.
    #[error("ridge is {found}, expected a finite number of 0 or more")]
    Ridge {
        /// Ridge given.
        found: f64,
    },
    /// Not a number of singular values.
    #[error("rank is {found}, expected 1 to {max}")]
    Rank {
        /// The value given.
        found: usize,
        /// Singular values there are.
        max: usize,
    },
    /// Not enough would be left to learn from, or to choose by.
    #[error("{found} anchor queries held back of {queries}, expected 1 to {}", queries / 2)]
    HoldOut {
        /// The value given.
        found: usize,
        /// Anchor queries.
        queries: usize,
    },
    /// The work takes more memory than was allowed. Allow it, or give fewer queries or items.
    #[error(
        "{} of memory are needed, {} allowed; allow more (--memory), or score fewer anchor queries or items",
        size_needed(*needed), size_left(*allowed)
    )]
    Memory {
        /// Bytes needed.
        needed: u64,
        /// Bytes allowed.
        allowed: u64,
    },
    /// All anchor items, or all items where anchors are chosen, have a score of 0 with all anchor queries: nothing can be told from them.
    #[error("all scores on the anchor items are 0; choose other anchors, or score other queries")]
    NoScores,
    /// A ridge so strong, or scores so large, that nothing of their inverse is left in single precision. Give a smaller ridge, or scale the scores.
    #[error(
        "the map of queries is 0 in single precision; give a smaller ridge, or scale the scores to about 1"
    )]
    Underflow,
    /// Scores so small that their inverse does not fit single precision. Scale them.
    #[error(
        "the map of queries does not fit single precision; scale the scores to about 1, or give a larger ridge"
    )]
    Overflow,
    /// Scores of queries are for another number of anchor items.
    #[error("{name}: {found} scores for each query, the map takes {expected}, one for each anchor item")]
    Shape {
        /// Name of the scores, a path where they are a file.
        name: String,
        /// Columns of the scores.
        found: usize,
        /// Rows of the map.
        expected: usize,
    },
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// Rows of a file cannot be had.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// It was told to stop.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}
