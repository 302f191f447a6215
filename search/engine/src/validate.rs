//! Queries are refused before they cost anything.
use spandrel_index::{DType, Index, Unusable, check_vectors};

/// Why queries were refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum QueryError {
    /// Not a whole number of rows of the index.
    #[error("{found} bytes of queries, expected a multiple of {row_bytes} ({dim} x {dtype})")]
    Length {
        /// Bytes given.
        found: usize,
        /// Bytes of one row.
        row_bytes: usize,
        /// Elements of one row.
        dim: usize,
        /// Type of an element.
        dtype: DType,
    },
    /// A query has no distance to vectors.
    #[error("query {query}: {found}")]
    Unusable {
        /// Number of the query.
        query: usize,
        /// What is wrong with it.
        found: Unusable,
    },
}

impl QueryError {
    /// The same of a query among all of which `first` came before this batch.
    #[must_use]
    pub fn after(mut self, first: usize) -> QueryError {
        if let QueryError::Unusable { query, .. } = &mut self {
            *query += first;
        }
        self
    }
}

/// Checks queries lying back to back: how many there are.
pub(crate) fn check_queries(index: &Index, queries: &[u8]) -> Result<usize, QueryError> {
    let (dtype, row_bytes) = (index.dtype(), index.row_bytes());
    if !queries.len().is_multiple_of(row_bytes) {
        return Err(QueryError::Length { found: queries.len(), row_bytes, dim: index.dim(), dtype });
    }
    check_vectors(index.metric(), dtype, row_bytes, queries)
        .map_err(|(query, found)| QueryError::Unusable { query, found })?;
    Ok(queries.len() / row_bytes)
}
