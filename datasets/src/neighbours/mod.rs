//! The exact nearest neighbours of queries, in memory that does not grow with the base.
//!
//! The base streams past in blocks, the next one being read while one is worked on. A block kernel scores every
//! query against it; what comes near the k-th best so far is scored again exactly, so the kernel's rounding
//! decides nothing. Ties go to the smaller row number. The answer is the same for any number of threads.
mod best;
mod block;
mod exact;
mod search;

use spandrel_index::{DType, Metric, SourceError, VectorSource};

use crate::file::Truth;
use crate::values::CheckError;
use crate::watch::{Stopped, Watch};

/// Most neighbours of a query.
pub const K_MAX: usize = 1 << 24;

/// What to compute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TruthParams {
    /// What near means.
    pub metric: Metric,
    /// Neighbours of each query; all rows of a base that has fewer.
    pub k: usize,
    /// Threads to use; 0 for one on each processor.
    pub threads: usize,
}

/// Why neighbours could not be computed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ComputeTruthError {
    /// Base and queries are of different types. Convert one of them.
    #[error("queries of {queries}, base of {base}: convert one of them")]
    DType {
        /// Element type of the base.
        base: DType,
        /// Element type of the queries.
        queries: DType,
    },
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
        /// The value given.
        k: usize,
    },
    /// Row numbers of truth have 32 bits.
    #[error("base of {rows} rows, expected at most 4294967296")]
    Rows {
        /// Rows of the base.
        rows: u64,
    },
    /// There are no queries.
    #[error("no queries")]
    NoQueries,
    /// The result does not fit memory: use fewer queries at once.
    #[error("{queries} queries with {k} neighbours each do not fit memory")]
    Memory {
        /// Number of queries.
        queries: u64,
        /// Neighbours of each.
        k: usize,
    },
    /// The threads could not be started.
    #[error("starting {threads} threads")]
    Threads {
        /// Threads asked for.
        threads: usize,
        /// The system's answer.
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

/// Computes the `k` nearest rows of `base` for each query, with their distances: all rows where it has fewer.
///
/// Progress counts rows of the base, once for each batch of queries that fits memory.
///
/// # Errors
/// Bases and queries that do not belong together, `k` out of range, NaN, infinities, zero vectors under cosine,
/// rows that cannot be read, the stop flag.
pub fn compute_truth(
    base: &dyn VectorSource,
    queries: &dyn VectorSource,
    params: TruthParams,
    watch: Watch<'_>,
) -> Result<Truth, ComputeTruthError> {
    let TruthParams { metric, k, threads } = params;
    if base.dtype() != queries.dtype() {
        return Err(ComputeTruthError::DType { base: base.dtype(), queries: queries.dtype() });
    }
    if base.dim() != queries.dim() {
        return Err(ComputeTruthError::Dim { base: base.dim(), queries: queries.dim() });
    }
    if k == 0 || k > K_MAX {
        return Err(ComputeTruthError::K { k });
    }
    if base.len() > 1 << 32 {
        return Err(ComputeTruthError::Rows { rows: base.len() });
    }
    if queries.is_empty() {
        return Err(ComputeTruthError::NoQueries);
    }
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build()
        .map_err(|source| ComputeTruthError::Threads { threads, source })?;
    let k = k.min(usize::try_from(base.len()).unwrap_or(k));
    pool.install(|| search::run(base, queries, metric, k, watch))
}

#[cfg(test)]
mod tests;
