//! Queries as calls carry them.
use std::ops::Range;
use std::sync::Arc;

use spandrel_datasets::Rows;
use spandrel_engine::Distances;
use spandrel_index::VectorSource as _;
use spandrel_proto::v1;

use super::Remote;
use crate::figures::PointParams;

/// Queries of one call of SearchBatch.
pub(crate) const BATCH: usize = 64;

/// Queries as one call after the other carries them.
#[derive(Clone)]
pub(crate) struct Asking {
    pub(crate) remote: Arc<Remote>,
    pub(crate) queries: Arc<Rows>,
    /// Their rows in the column, where candidates are compared by it.
    pub(crate) column: Option<Arc<Rows>>,
    pub(crate) k: u32,
    pub(crate) options: v1::SearchOptions,
    /// Of the queries of the file: one for each, one for all, or none.
    pub(crate) filters: Arc<Vec<v1::Filter>>,
    /// Number of the first query in the file.
    pub(crate) first: usize,
}

impl Asking {
    /// Queries there are.
    pub(crate) fn count(&self) -> usize {
        self.queries.bytes().len() / self.queries.row_bytes()
    }

    /// Whether each query has a filter of its own, so that one call does not carry several.
    pub(crate) fn has_own_filters(&self) -> bool {
        self.filters.len() > 1
    }

    fn options_of(&self, number: usize) -> v1::SearchOptions {
        let filter = match self.filters.as_slice() {
            [one] => Some(one),
            all => all.get(self.first + number),
        };
        v1::SearchOptions { filter: filter.cloned(), ..self.options.clone() }
    }

    fn column_of(&self, numbers: Range<usize>) -> Option<v1::ColumnQueries> {
        let rows = self.column.as_ref()?;
        let bytes = rows.row_bytes();
        self.remote.column_queries(rows.bytes()[numbers.start * bytes..numbers.end * bytes].to_vec())
    }

    pub(crate) fn one(&self, number: usize) -> v1::SearchRequest {
        v1::SearchRequest {
            index: self.remote.summary.name.clone(),
            query: Some(self.remote.vectors(self.queries.row(number))),
            k: self.k,
            options: Some(self.options_of(number)),
            column_queries: self.column_of(number..number + 1),
        }
    }

    pub(crate) fn many(&self, numbers: Range<usize>) -> v1::SearchBatchRequest {
        let row_bytes = self.queries.row_bytes();
        let rows = &self.queries.bytes()[numbers.start * row_bytes..numbers.end * row_bytes];
        v1::SearchBatchRequest {
            index: self.remote.summary.name.clone(),
            queries: Some(self.remote.vectors(rows)),
            k: self.k,
            options: Some(self.options_of(numbers.start)),
            column_queries: self.column_of(numbers),
        }
    }
}

/// Which distances answers may carry.
pub(crate) fn wire_distances(distances: Distances) -> v1::Distances {
    match distances {
        Distances::Exact => v1::Distances::Exact,
        Distances::Any => v1::Distances::Any,
    }
}

/// How to search.
pub(crate) fn options(params: &PointParams, distances: Distances, with_work: bool) -> v1::SearchOptions {
    v1::SearchOptions {
        recall: params.recall,
        epsilon: params.epsilon,
        max_lists: params.max_lists,
        min_head_score: params.min_head_score,
        rerank: params.rerank,
        rerank_errors: params.rerank_errors,
        distances: wire_distances(distances) as i32, // CAST: the enum's code
        with_work,
        ..v1::SearchOptions::default()
    }
}
