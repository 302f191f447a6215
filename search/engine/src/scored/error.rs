//! Why a scored search gave no answer.
use std::error::Error;
use std::fmt;

use super::scorer::ScoredItem;
use crate::SearchError;

/// Why a scored search gave no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScoreError {
    /// No item is wanted.
    #[error("k is 0, expected at least 1")]
    ZeroK,
    /// The scorer would be given nothing.
    #[error("batch is 0, expected at least 1")]
    ZeroBatch,
    /// Fewer items may be scored than are wanted, or than were scored before.
    #[error("budget is {found}, expected at least k, {k}, and the {known} items that are scored already")]
    Budget {
        /// The value given.
        found: usize,
        /// Items wanted.
        k: usize,
        /// Items scored before.
        known: usize,
    },
    /// An item was given with two scores. Leave one out.
    #[error("item {id} is given twice among those that are scored already")]
    KnownTwice {
        /// Id of the item that stands twice.
        id: u64,
    },
    /// A score that cannot be compared.
    #[error("the score of item {id} is {score}, expected a finite number")]
    NotFinite {
        /// Id of the item that the score is of.
        id: u64,
        /// NaN or an infinity, as the scorer gave it.
        score: f32,
    },
    /// The scorer gave another number of scores than it was given items.
    #[error("the scorer gave {found} scores for {expected} items")]
    Count {
        /// Scores given.
        found: usize,
        /// Items given to it.
        expected: usize,
    },
    /// The scorer failed.
    #[error("the scorer failed")]
    Scorer(#[source] Box<dyn Error + Send + Sync>),
    /// The deadline passed.
    #[error("the deadline passed with {scored} items scored")]
    Deadline {
        /// Items scored by then.
        scored: usize,
    },
    /// It was told to stop.
    #[error("stopped with {scored} items scored")]
    Stopped {
        /// Items scored by then.
        scored: usize,
    },
    /// The search for candidates gave no answer; the scorer was not asked.
    #[error(transparent)]
    Search(#[from] SearchError),
}

/// A scored search that gave no answer, with what was scored all the same: calls that were paid for are not lost. Given as
/// [`ScoredParams::known`](crate::ScoredParams::known) of the next search, they are not made again.
#[derive(Debug)]
pub struct ScoreFailure {
    /// What ended the search.
    pub error: ScoreError,
    /// What was scored before, what was known among it; of a batch with a wrong score nothing.
    pub scored: Vec<ScoredItem>,
}

impl fmt::Display for ScoreFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl Error for ScoreFailure {
    // It speaks for `error`, which a chain would say once more.
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.error.source()
    }
}
