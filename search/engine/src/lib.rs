//! Answers queries from an index: the original SPANN search (Chen et al., "SPANN: Highly-efficient
//! Billion-scale Approximate Nearest Neighbor Search", NeurIPS 2021).
//!
//! heads -> lists -> prune -> fetch -> scan -> rerank -> top k. A query is mapped to head space, the nearest heads
//! are found in memory (*probe*), lists whose heads are too far are dropped (*prune*), the rest is read in one
//! batch unless it is in memory (*fetch*). Lists of exact vectors are compared as they arrive (*scan*). Codes give
//! estimates with errors, and the vectors that may be among the nearest are read in one more batch and compared
//! exactly (*rerank*). Where a scorer decides instead of a metric, what was found are its candidates. Vectors by id are read by the same threads, in turns with queries.
//!
//! Promises: an answer depends on the index, the query and the parameters alone, not on the backend, on the
//! number of threads, on batching or on the order in which reads arrive; a damaged list is skipped, counted
//! and remembered, never scanned; nothing is allocated per query in the steady state but the answer itself.
//! It does not know sockets or files of queries, and never writes.
mod accept;
mod ahead;
mod answer;
mod calibrate;
mod cells;
mod collect;
mod costs;
mod damage;
mod documents;
mod engine;
mod error;
mod estimate;
mod exact;
mod executor;
mod explain;
mod fetch;
mod files;
mod filter_plan;
mod filtered;
mod flow;
mod guard;
mod heads;
mod ids;
mod job;
mod join;
mod kept;
mod lookup;
mod near_share;
mod pace;
mod pages;
pub mod paging;
mod params;
mod plan;
mod probe;
mod progress;
mod pruning;
mod query;
mod queue;
mod range;
mod range_lists;
mod range_params;
mod range_plan;
mod range_pruning;
mod reads;
mod recall;
mod rerank;
mod sample;
mod scan;
mod scored;
mod searched;
mod spend;
mod stages;
mod stop;
mod subject;
mod terms;
mod threads;
mod together;
mod union;
mod validate;
mod vectors;
mod verify_plan;
mod worker;

pub use answer::{Answer, Limit, Missing, Neighbour, Work};
pub use calibrate::{
    CalibrateError, CalibrateLimits, CalibrateParams, GivenQueries, calibrate, expected_recall,
};
pub use damage::{Damage, DamageReason, DamagedPart};
pub use documents::{
    DOCUMENTS_COMPARED, DocumentDefaults, DocumentParams, DocumentRequest, ENCODED_COMPARED,
    ENCODING_LISTS_MIN, QueryDocuments, TOKEN_LISTS, TOKENS_KEPT, vector_queries,
};
pub use engine::{Engine, IoReport, QueryRows, Request};
pub use error::{EngineError, SearchError};
pub use estimate::RecallEstimate;
pub use exact::{ATTENTION_SCALE_MAX, ExactNearest, ExactSearch, ExpSum};
pub use executor::{EngineConfig, Executor};
pub use explain::{
    EXPLAINED_MAX, Exact, ExplainedDocument, ExplainedDocuments, ExplainedList, ExplainedSearch,
    ExplainedVector, Explanation, First, ListFate, ReadPart, Round, SearchedBy, Stop,
};
pub use filter_plan::{ExplainedFilter, FilterPlan, Filtered, PlanCosts, PlanReason};
pub use flow::{side_by_side, with_spare};
pub use ids::{FetchContent, FetchRequest, FetchState, Fetched, HandOut};
pub use join::{Join, JoinError, JoinGroup, JoinMemory, JoinParams, JoinWork, Tuned};
pub use lookup::Lookup;
pub use pace::Course;
pub use params::{COLUMN_CANDIDATES, Distances, EPSILON_LISTS_MAX, ParamsError, Rerank, SearchParams};
pub use plan::QueryPlan;
pub use pruning::{Aim, Calibrated, Promise, Pruning, RECALL_DEFAULT};
pub use queue::Backlog;
pub use range::{RangePart, RangeRequest, RangeSearch, RangeSummary};
pub use range_params::{RANGE_ERRORS_MAX, RangeParams};
pub use recall::{RecallError, Truth, recall, recall_of, recalls};
pub use sample::Sample;
pub use scored::{ScoreError, ScoreFailure, ScoredAnswer, ScoredItem, ScoredParams, Scorer, score_answer};
pub use stages::StageTimes;
pub use threads::ThreadReport;
pub use union::{Duplicates, UnionAnswer, UnionError, check_union, union, union_within};
pub use validate::QueryError;
pub use verify_plan::{KEPT_MORE, SECOND_LESS, compared_most};

#[cfg(test)]
mod tests;
