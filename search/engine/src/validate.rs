//! Queries are refused before they cost anything.
use spandrel_index::{
    DType, Index, Metric, NORM_SQUARED_MAX, NORM_SQUARED_MIN, for_each_element, norm_squared,
};

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
    /// Distances to it might overflow single precision. Scale queries and vectors down together.
    #[error("query {query}: values too large to square, expected a length of at most 8.9e18")]
    TooLong {
        /// Number of the query.
        query: usize,
    },
    /// Too few digits would be left of its cosines. Scale the query up: that changes no cosine.
    #[error("query {query}: values too small to square, expected a length of at least 1.2e-19 under cosine")]
    TooShort {
        /// Number of the query.
        query: usize,
    },
    /// A zero vector has no direction.
    #[error("query {query}: a zero vector has no cosine")]
    Zero {
        /// Number of the query.
        query: usize,
    },
}

impl QueryError {
    /// The same of a query among all of which `first` came before this batch.
    #[must_use]
    pub fn after(mut self, first: usize) -> QueryError {
        match &mut self {
            QueryError::NotFinite { query, .. }
            | QueryError::TooLong { query }
            | QueryError::TooShort { query }
            | QueryError::Zero { query } => *query += first,
            QueryError::Length { .. } => {}
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
    for (query, row) in queries.chunks_exact(row_bytes).enumerate() {
        if let Some(element) = first_not_finite(dtype, row) {
            return Err(QueryError::NotFinite { query, element });
        }
        check_norm(index.metric(), dtype, query, row)?;
    }
    Ok(queries.len() / row_bytes)
}

/// The limits that vectors are held to when an index is built.
fn check_norm(metric: Metric, dtype: DType, query: usize, row: &[u8]) -> Result<(), QueryError> {
    // Bytes are long enough unless they are all zero, and never too long.
    if dtype.is_integer() && metric != Metric::Cosine {
        return Ok(());
    }
    let squared = norm_squared(dtype, row);
    if squared > NORM_SQUARED_MAX {
        return Err(QueryError::TooLong { query });
    }
    match metric {
        Metric::Cosine if squared == 0.0 => Err(QueryError::Zero { query }),
        Metric::Cosine if squared < NORM_SQUARED_MIN => Err(QueryError::TooShort { query }),
        _ => Ok(()),
    }
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
