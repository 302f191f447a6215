//! Queries are refused before they cost anything.
use spandrel_index::{DType, Index, Metric, for_each_element, norm_squared};

/// Why queries were refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
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
    /// An element is NaN or infinite.
    #[error("query {query}: element {element} is not a finite number")]
    NotFinite {
        /// Number of the query.
        query: usize,
        /// Number of the element.
        element: usize,
    },
    /// A zero vector has no direction.
    #[error("query {query}: a zero vector has no cosine")]
    Zero {
        /// Number of the query.
        query: usize,
    },
}

/// Checks queries lying back to back: how many there are.
pub(crate) fn check_queries(index: &Index, queries: &[u8]) -> Result<usize, QueryError> {
    let (dtype, row_bytes) = (index.dtype(), index.row_bytes());
    if !queries.len().is_multiple_of(row_bytes) {
        return Err(QueryError::Length { found: queries.len(), row_bytes, dim: index.dim(), dtype });
    }
    for (query, row) in queries.chunks_exact(row_bytes).enumerate() {
        if let Some(element) = first_not_finite(dtype, row) {
            return Err(QueryError::NotFinite { query, element });
        }
        if index.metric() == Metric::Cosine && norm_squared(dtype, row) == 0.0 {
            return Err(QueryError::Zero { query });
        }
    }
    Ok(queries.len() / row_bytes)
}

fn first_not_finite(dtype: DType, row: &[u8]) -> Option<usize> {
    if dtype.is_integer() {
        return None;
    }
    let (mut element, mut found) = (0, None);
    for_each_element(dtype, row, |x| {
        if !x.is_finite() && found.is_none() {
            found = Some(element);
        }
        element += 1;
    });
    found
}
