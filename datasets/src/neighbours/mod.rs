//! The exact nearest neighbours of queries, in memory that does not grow with the base.
//!
//! The base streams past in blocks, the next one being read while one is worked on. A block kernel scores every
//! query against it; what comes near the k-th best so far is scored again exactly, so the kernel's rounding
//! decides nothing. Ties go to the smaller row number. The answer is the same for any number of threads.
mod best;
mod block;
mod documents;
mod error;
mod exact;
mod part;
mod search;

use spandrel_index::{Metric, VectorSource};

use crate::attributes::RowFilters;
use crate::converted::Converted;
use crate::file::{RangeTruth, Truth};
use crate::watch::Watch;
pub use documents::{DocumentTruthParams, Documents, compute_document_truth};
pub use error::{ComputeTruthError, K_MAX};
pub(crate) use exact::operation;
use part::Asking;

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

/// What to compute within a radius.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RangeTruthParams {
    /// What near means.
    pub metric: Metric,
    /// All rows are wanted whose squared L2 distance or `1 - cos` is at most this, or whose inner product is at least this.
    pub radius: f32,
    /// Threads to use; 0 for one on each processor.
    pub threads: usize,
}

/// Computes the `k` nearest rows of `base` for each query, with their distances: all rows where it has fewer.
///
/// Queries of another element type are converted to that of the base, see [`Converted`]. Progress counts rows of the base,
/// once for each batch of queries that fits memory.
///
/// With filters, rows that match each query's. Where fewer than `k` match, [`Truth::NONE`] at an infinite distance fills the rest. The
/// matching rows of filters take at most 512 MiB in a walk over the base. Equal filters are held once. Queries whose filters do not fit
/// take part in a later walk.
///
/// # Errors
/// Bases and queries that do not belong together, `k` out of range, NaN, infinities, zero vectors under cosine,
/// rows that cannot be read, the stop flag. Filters of another number of queries, or over another number of rows.
pub fn compute_truth(
    base: &dyn VectorSource,
    queries: &dyn VectorSource,
    filters: Option<&RowFilters>,
    params: TruthParams,
    watch: Watch<'_>,
) -> Result<Truth, ComputeTruthError> {
    let TruthParams { metric, k, threads } = params;
    check(base, Asking { queries, filters })?;
    if k == 0 || k > K_MAX {
        return Err(ComputeTruthError::K { k });
    }
    let k = k.min(usize::try_from(base.len()).unwrap_or(k));
    let queries = Converted::new(queries, base.dtype());
    let asking = Asking { queries: &queries, filters };
    pool(threads)?.install(|| search::run(base, asking, metric, k, watch))
}

/// Computes the rows of `base` within a radius of each query, with their distances; with filters, those that match each query's.
///
/// Queries of another element type are converted to that of the base, see [`Converted`]. What is found may take 512 MiB in a
/// walk over the base: where it takes more, fewer queries take part in each.
///
/// # Errors
/// As [`compute_truth`], with a radius in place of `k`, and where more is found than fits memory.
pub fn compute_range_truth(
    base: &dyn VectorSource,
    queries: &dyn VectorSource,
    filters: Option<&RowFilters>,
    params: RangeTruthParams,
    watch: Watch<'_>,
) -> Result<RangeTruth, ComputeTruthError> {
    let RangeTruthParams { metric, radius, threads } = params;
    check(base, Asking { queries, filters })?;
    metric.check_radius(radius)?;
    let queries = Converted::new(queries, base.dtype());
    let asking = Asking { queries: &queries, filters };
    pool(threads)?.install(|| search::run_within(base, asking, metric, radius, watch))
}

fn check(base: &dyn VectorSource, asking: Asking<'_>) -> Result<(), ComputeTruthError> {
    let Asking { queries, filters } = asking;
    check_filters(filters, queries.len(), base.len())?;
    if base.dim() != queries.dim() {
        return Err(ComputeTruthError::Dim { base: base.dim(), queries: queries.dim() });
    }
    if base.len() > 1 << 32 {
        return Err(ComputeTruthError::Rows { rows: base.len() });
    }
    if queries.is_empty() {
        return Err(ComputeTruthError::NoQueries);
    }
    Ok(())
}

/// Refuses filters of others than `queries` queries over `rows` rows.
fn check_filters(filters: Option<&RowFilters>, queries: u64, rows: u64) -> Result<(), ComputeTruthError> {
    let Some(filters) = filters else { return Ok(()) };
    let (found, filtered_rows) = (filters.queries(), filters.rows());
    // CAST: widening
    if (found as u64, filtered_rows) == (queries, rows) {
        return Ok(());
    }
    Err(ComputeTruthError::Filters { filters: found, filtered_rows, queries, rows })
}

fn pool(threads: usize) -> Result<rayon::ThreadPool, ComputeTruthError> {
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build()
        .map_err(|source| ComputeTruthError::Threads { threads, source })
}

#[cfg(test)]
mod tests;
