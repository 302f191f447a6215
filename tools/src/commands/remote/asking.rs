//! Queries as calls carry them.
use std::ops::Range;
use std::sync::Arc;

use spandrel_datasets::Rows;
use spandrel_engine::{Distances, Duplicates};
use spandrel_index::VectorSource as _;
use spandrel_index::documents::DocumentOffsets;
use spandrel_proto::v1;

use super::Remote;
use crate::figures::PointParams;

/// Queries of one call of SearchBatch.
pub(crate) const BATCH: usize = 64;
/// Bytes of the documents of one call: a quarter of what a server takes in a message unless it was set.
const BATCH_BYTES: usize = 4 << 20;

/// Queries as one call after the other carries them.
#[derive(Clone)]
pub(crate) struct Asking {
    pub(crate) remote: Arc<Remote>,
    /// Names of the indexes that are searched as one; none where one is.
    pub(crate) united: Vec<String>,
    pub(crate) duplicates: Duplicates,
    pub(crate) queries: Arc<Rows>,
    /// Their rows in the column, where candidates are compared by it.
    pub(crate) column: Option<Arc<Rows>>,
    /// Which of the rows are a query, of an index of documents.
    pub(crate) documents: Option<Arc<DocumentOffsets>>,
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
        match &self.documents {
            Some(documents) => documents.documents(),
            None => self.queries.bytes().len() / self.queries.row_bytes(),
        }
    }

    /// Queries of one call of SearchBatch.
    pub(crate) fn batch(&self) -> usize {
        // An explanation comes from each index.
        let several = if self.options.explain { self.united.len().max(1) } else { 1 };
        let Some(documents) = &self.documents else { return (BATCH / several).max(1) };
        let longest = documents.rows_max() as usize * self.queries.row_bytes(); // CAST: widening
        (BATCH_BYTES / longest).clamp(1, BATCH)
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

    /// The rows of some queries, of which there is one or more.
    fn vectors_of(&self, numbers: Range<usize>) -> v1::Vectors {
        let row_bytes = self.queries.row_bytes();
        let bytes = |rows: Range<usize>| &self.queries.bytes()[rows.start * row_bytes..rows.end * row_bytes];
        match &self.documents {
            None => self.remote.vectors(bytes(numbers)),
            Some(documents) => {
                let (first, last) = (documents.rows_of(numbers.start), documents.rows_of(numbers.end - 1));
                let rows = bytes(first.start as usize..last.end as usize); // CAST: widening
                self.remote.documents(rows, &documents.part(numbers))
            }
        }
    }

    /// Name of the index where one is searched.
    fn index(&self) -> String {
        if self.united.is_empty() { self.remote.summary.name.clone() } else { String::new() }
    }

    pub(crate) fn one(&self, number: usize) -> v1::SearchRequest {
        v1::SearchRequest {
            index: self.index(),
            indexes: self.united.clone(),
            duplicates: wire_duplicates(self.duplicates) as i32, // CAST: the enum's code
            query: Some(self.vectors_of(number..number + 1)),
            k: self.k,
            options: Some(self.options_of(number)),
            column_queries: self.column_of(number..number + 1),
        }
    }

    pub(crate) fn many(&self, numbers: Range<usize>) -> v1::SearchBatchRequest {
        v1::SearchBatchRequest {
            index: self.index(),
            indexes: self.united.clone(),
            duplicates: wire_duplicates(self.duplicates) as i32, // CAST: the enum's code
            queries: Some(self.vectors_of(numbers.clone())),
            k: self.k,
            options: Some(self.options_of(numbers.start)),
            column_queries: self.column_of(numbers),
        }
    }
}

/// What an id means that several indexes have, as it is sent.
pub(super) fn wire_duplicates(duplicates: Duplicates) -> v1::Duplicates {
    match duplicates {
        Duplicates::Best => v1::Duplicates::Best,
        Duplicates::Keep => v1::Duplicates::Keep,
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
