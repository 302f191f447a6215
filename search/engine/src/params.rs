//! What a caller asks for.
use std::sync::Arc;

use spandrel_index::format::VectorsOf;
use spandrel_index::{Matches, Metric, RadiusError};
use spandrel_names::named;

use crate::filter_plan::FilterPlan;

/// Lists read at most when a query gives epsilon alone.
///
/// In high dimensions many heads are nearly as far as the nearest, so that epsilon without a cap reads a
/// large part of the index for some queries and gains next to nothing.
pub const EPSILON_LISTS_MAX: u32 = 256;

/// Candidates that are compared by the vectors of a column when a query names no number, at least.
pub const COLUMN_CANDIDATES: u32 = 100;
/// Candidates for each neighbour wanted, if that is more.
const COLUMN_CANDIDATES_EACH: usize = 10;

/// What a caller asks for.
///
/// With none of `recall`, `epsilon` and `max_lists`, a query asks for a recall of
/// [`RECALL_DEFAULT`](crate::RECALL_DEFAULT). `max_lists` alone means no epsilon; `epsilon` alone is capped at
/// [`EPSILON_LISTS_MAX`]. Where the lists so chosen hold fewer than `k` vectors that may be answers, the next nearest are
/// read as well: only a `max_lists` or `max_bytes` that was given holds in any case.
#[derive(Debug, Clone, PartialEq)]
pub struct SearchParams {
    /// Neighbours wanted, 1 or more; of an index that holds fewer vectors that may be answers, all of them.
    pub k: usize,
    /// Recall wanted, more than 0 and at most 1, on average over queries like those the index was calibrated with. It
    /// decides lists, errors and epsilon; `max_lists`, `max_bytes` and `rerank` may hold a query back, and
    /// [`Answer::promise`](crate::Answer::promise) says what is left to expect. Not together with `epsilon`.
    pub recall: Option<f64>,
    /// What queries like this one miss, divided by what those miss that the index was calibrated with, as far as that was measured: 1 or more.
    /// A query that asks for a recall aims higher by it.
    pub misses: f64,
    /// A list is read iff its head is no farther than `1 + epsilon` times the nearest head: 0 or more.
    pub epsilon: Option<f32>,
    /// Lists read at most: 1 or more.
    pub max_lists: Option<u32>,
    /// Lists whose head has a smaller inner product with the query than this are not searched: any finite number, under inner product and
    /// without a filter. Given without `recall`, `epsilon` and `max_lists` it alone decides: all other lists are searched. It holds in any
    /// case: where the lists that are left hold fewer than `k` vectors, fewer are returned, and
    /// [`Answer::limited_by`](crate::Answer::limited_by) says so. No [`Promise`](crate::Promise) is made.
    pub min_head_score: Option<f32>,
    /// The share of its work that a query spends, from 0 to 1, as a server under load asks for less. It costs recall, not
    /// answers. A query that asks for a recall takes the point of the index's curve that takes this share of the work for
    /// it, but for a recall of a half at least; others read this share of their lists.
    pub effort: f32,
    /// Bytes asked of the disk at most, counted before requests are merged across gaps: the farthest lists are dropped,
    /// then the worst candidates, but not the nearest list and the best candidate. Pages for `k` candidates are set
    /// aside before lists, up to half of the bytes. What is in memory or in the cache costs none, so that with a limit
    /// answers depend on it. 1 or more; no limit if not given.
    pub max_bytes: Option<u64>,
    /// Which vectors are compared exactly where lists hold codes; the index's own rule if not given. Lists of exact
    /// vectors do not use it.
    pub rerank: Option<Rerank>,
    /// By which vectors candidates are compared, and whose distances answers carry. By those of a column they are compared by count: the
    /// [`Rerank::Count`] candidates whose codes are nearest, [`COLUMN_CANDIDATES`] if none is given, or `10 k` if that is more. Lists are
    /// those of a search for that number of neighbours. What recall this gives is not known: no [`Promise`](crate::Promise) is made.
    pub compare_by: VectorsOf,
    /// Which distances answers may carry.
    pub distances: Distances,
    /// Which vectors may be answers, of the index that is searched; all if not given.
    pub filter: Option<Arc<Matches>>,
    /// How the vectors that match are searched; by the least expected cost if not given. Only together with `filter`.
    pub filter_plan: Option<FilterPlan>,
    /// Whether answers say where their time went.
    pub times: bool,
    /// Whether answers say how they were found: [`Answer::explanation`](crate::Answer::explanation) and
    /// [`Answer::stages`](crate::Answer::stages).
    pub explain: bool,
}

/// Which distances answers may carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Distances {
    /// Exact ones alone.
    #[default]
    Exact,
    /// Estimates too: a vector whose error already decides that it is among the nearest is returned without being
    /// read. The index must have been opened with its ids in memory. Lists of exact vectors give exact distances.
    Any,
}

named! { Distances, "distances", Exact => "exact", Any => "any" }

/// Which vectors are compared exactly after their codes were scanned.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Rerank {
    /// This number of vectors, or k if that is more: those most likely to be among the k nearest, by their estimates
    /// and the errors of these.
    Count(u32),
    /// With a value `t`, 0 or more, an estimate `e` and its standard error `s`: the vectors whose `e - t/2 s` is at most
    /// the k-th smallest `max(e, 0) + t/2 s`. Of more than `16 k + 64` the likeliest, unless the index has
    /// fewer than 10 000 vectors.
    Errors(f32),
}

impl SearchParams {
    /// The index's own pruning.
    pub const fn new(k: usize) -> SearchParams {
        SearchParams {
            k,
            recall: None,
            misses: 1.0,
            epsilon: None,
            max_lists: None,
            min_head_score: None,
            effort: 1.0,
            max_bytes: None,
            rerank: None,
            compare_by: VectorsOf::Main,
            distances: Distances::Exact,
            filter: None,
            filter_plan: None,
            times: false,
            explain: false,
        }
    }

    /// Candidates that are compared by the vectors of a column.
    ///
    /// # Errors
    /// [`ParamsError::ColumnEstimates`] and [`ParamsError::ColumnErrors`].
    pub fn column_candidates(&self) -> Result<usize, ParamsError> {
        match self.rerank {
            _ if self.distances == Distances::Any => Err(ParamsError::ColumnEstimates),
            Some(Rerank::Errors(_)) => Err(ParamsError::ColumnErrors),
            Some(Rerank::Count(count)) => Ok(self.k.max(count as usize)),
            None => Ok((COLUMN_CANDIDATES as usize).max(self.k.saturating_mul(COLUMN_CANDIDATES_EACH))),
        }
    }
}

/// Why parameters were refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ParamsError {
    /// No neighbour is wanted.
    #[error("k is 0, expected at least 1")]
    ZeroK,
    /// Not a recall.
    #[error("recall is {found}, expected more than 0 and at most 1")]
    Recall {
        /// The value given.
        found: f64,
    },
    /// Not a ratio of misses.
    #[error("misses is {found}, expected a finite number of 1 or more")]
    Misses {
        /// The value given.
        found: f64,
    },
    /// A recall decides how lists are pruned. Give one of the two.
    #[error("recall and epsilon are both given, expected one of them")]
    RecallAndEpsilon,
    /// Not a distance ratio.
    #[error("epsilon is {found}, expected a finite number of 0 or more")]
    Epsilon {
        /// The value given.
        found: f32,
    },
    /// Estimates were to be returned, and the ids that go with them are not in memory. Open the index with its ids.
    #[error("distances may be estimated only where ids are in memory; open the index with its ids")]
    NoIds,
    /// There are no such vectors. Leave out the column.
    #[error("the index has no column of vectors to compare by; leave out the queries of a column")]
    NoColumn,
    /// The vectors that are searched are not kept, only their codes. Give queries of the column as well, or build with the vectors.
    #[error(
        "the index keeps no pages of the vectors that are searched; give queries of its column {column} as well, or build it with \
         --keep-coarse"
    )]
    NotKept {
        /// Name of the column.
        column: String,
    },
    /// Answers of such an index are documents. Say which queries are one document.
    #[error(
        "the index holds documents of many vectors, which are found by documents alone: `query` and `bench` take --query-documents"
    )]
    Documents,
    /// Its vectors are things of their own. Leave out the documents.
    #[error(
        "the index has no documents; leave out the documents of the queries, or build it with --documents"
    )]
    NoDocuments,
    /// No vector may be kept.
    #[error("tokens kept are 0, expected at least 1")]
    ZeroTokens,
    /// Estimates are distances of the vectors that are searched. Ask for exact distances.
    #[error(
        "distances are estimates of the vectors that are searched, not of the column; ask for exact distances"
    )]
    ColumnEstimates,
    /// Errors of estimates say nothing of distances in the column. Give a count.
    #[error(
        "rerank-errors are errors of the vectors that are searched, which say nothing of the column; give a number of vectors to rerank"
    )]
    ColumnErrors,
    /// Not a number of standard errors.
    #[error("rerank-errors is {found}, expected a finite number of 0 or more")]
    RerankErrors {
        /// The value given.
        found: f32,
    },
    /// No list may be read.
    #[error("max-lists is 0, expected at least 1")]
    ZeroLists,
    /// Not a score.
    #[error("min-head-score is {found}, expected a finite number")]
    HeadScore {
        /// The value given.
        found: f32,
    },
    /// Heads have no score by which more is nearer. Give a number of lists or epsilon.
    #[error(
        "min-head-score is given and the index compares by {metric}, expected ip; give max-lists or epsilon"
    )]
    HeadScoreMetric {
        /// The metric of the index.
        metric: Metric,
    },
    /// Matches of a filter are not always found by their lists. Give one of the two.
    #[error("min-head-score and a filter are both given, expected one of them")]
    HeadScoreFilter,
    /// No byte may be read.
    #[error("max-bytes is 0, expected at least 1")]
    ZeroBytes,
    /// A filter of another index, or of another version of it.
    #[error("the filter is of {found} vectors, not of the {expected} of this index")]
    FilterShape {
        /// Vectors that the filter is of.
        found: u64,
        /// Vectors of the index.
        expected: u64,
    },
    /// There is nothing to plan.
    #[error("a filter plan is given without a filter")]
    PlanAlone,
    /// The codes of the matches are compared where they lie in memory. Open the index with its codes there.
    #[error("the filter plan 'codes' needs codes in memory, and this index was opened without them")]
    CodesPlan,
    /// A radius that no distance can be compared with.
    #[error(transparent)]
    Radius(#[from] RadiusError),
    /// Not a share.
    #[error("completeness is {found}, expected a share from 0 to 1")]
    Completeness {
        /// The value given.
        found: f32,
    },
    /// No vector may be returned.
    #[error("max-results is 0, expected at least 1")]
    ZeroResults,
    /// Not a share.
    #[error("effort is {found}, expected a share from 0 to 1")]
    Effort {
        /// The value given.
        found: f32,
    },
}
