//! Why neighbours could not be computed.
use spandrel_index::{RadiusError, SourceError};

use crate::values::CheckError;
use crate::watch::Stopped;

/// Most neighbours of a query.
pub const K_MAX: usize = 1 << 24;

/// Why neighbours could not be computed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ComputeTruthError {
    /// Base and queries have different dimensions.
    #[error("queries of {queries} elements, base of {base}")]
    Dim {
        /// Elements of a row of the base.
        base: usize,
        /// Elements of a query.
        queries: usize,
    },
    /// `k` is zero or over [`K_MAX`].
    #[error("k = {k}, expected 1..={K_MAX}")]
    K {
        /// Neighbours asked for.
        k: usize,
    },
    /// A radius that no distance can be compared with.
    #[error(transparent)]
    Radius(#[from] RadiusError),
    /// One query has more neighbours within the radius than fit memory: use a smaller radius.
    #[error("query {query} has more than {max} neighbours within the radius: use a smaller one")]
    Within {
        /// Number of the query.
        query: u64,
        /// Most neighbours of a query.
        max: usize,
    },
    /// All queries together have more neighbours within the radius than a file counts: use a smaller radius, or fewer
    /// queries.
    #[error(
        "more than {max} neighbours within the radius up to query {query}: use a smaller radius or fewer queries"
    )]
    Results {
        /// Most neighbours in all.
        max: usize,
        /// Number of the query.
        query: u64,
    },
    /// The offsets of documents are those of other vectors.
    #[error("documents of {covered} vectors, there are {rows}: give the offsets of these vectors")]
    Offsets {
        /// Vectors that the documents cover.
        covered: u64,
        /// Vectors of the base.
        rows: u64,
    },
    /// Row numbers of truth have 32 bits.
    #[error("base of {rows} rows, expected at most 4294967296")]
    Rows {
        /// Rows of the base.
        rows: u64,
    },
    /// The filters are those of other queries or other vectors.
    #[error(
        "filters of {filters} queries over {filtered_rows} rows, there are {queries} queries and a base of {rows} rows"
    )]
    Filters {
        /// Filters in the file.
        filters: usize,
        /// Rows they choose from.
        filtered_rows: u64,
        /// Queries of the call.
        queries: u64,
        /// Rows of the base.
        rows: u64,
    },
    /// There are no queries.
    #[error("no queries")]
    NoQueries,
    /// The result does not fit memory: use fewer queries at once.
    #[error("{queries} queries with {k} neighbours each do not fit memory")]
    Memory {
        /// Queries of the call.
        queries: u64,
        /// Neighbours of each query.
        k: usize,
    },
    /// The threads could not be started.
    #[error("starting {threads} threads")]
    Threads {
        /// Threads asked for.
        threads: usize,
        /// Why the pool of threads could not start.
        source: rayon::ThreadPoolBuildError,
    },
    /// A row cannot be compared with others, or cannot be read.
    #[error(transparent)]
    Check(#[from] CheckError),
}

impl From<SourceError> for ComputeTruthError {
    fn from(e: SourceError) -> Self {
        ComputeTruthError::Check(CheckError::Source(e))
    }
}

impl From<Stopped> for ComputeTruthError {
    fn from(e: Stopped) -> Self {
        ComputeTruthError::Check(CheckError::Stopped(e))
    }
}
