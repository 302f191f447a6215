//! What an index says of the sample of queries that it was made with.
use serde::{Deserialize, Serialize};

/// What an index learned from a sample of real queries.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuerySampleRecord {
    /// xxh3-128 of the sample's rows.
    pub hash: String,
    /// Rows of the sample.
    pub queries: u64,
    /// Of these, held back for calibration.
    pub held_back: u64,
    /// Neighbours of each query that were looked at.
    pub depth: u64,
    /// Vectors that are a neighbour of some query.
    pub wanted: u64,
    /// Neighbours of one half of the queries, and those of them that the other half wants as well.
    pub foreseen_of: u64,
    /// See `foreseen_of`.
    pub foreseen: u64,
    /// Whether the vectors that are wanted have lists of their own.
    pub own_lists: bool,
    /// What was measured of codes that know the queries, where the code can be made so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<QueryCodeRecord>,
}

/// What was measured of codes that know the queries of a sample: the error of estimates of the vectors nearest to queries that the code
/// did not learn from, as a share of the distance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QueryCodeRecord {
    /// Error of the plain code; absent where there is no distance to measure it by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plain_error: Option<f64>,
    /// The best code that knows queries; absent where none could be made or measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub best: Option<QueryCodeForm>,
    /// Whether the lists have the best code, rather than the plain one.
    pub used: bool,
}

/// A code that knows queries.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QueryCodeForm {
    /// Error of its estimates, as a share of the distance.
    pub error: f64,
    /// Added to the variance of queries in every direction, as a share of the mean.
    pub ridge: f64,
    /// Whether estimates are exact at the mean of the queries, rather than at the head of each list.
    pub anchored: bool,
}
