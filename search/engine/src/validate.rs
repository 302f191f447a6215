//! Queries are refused before they cost anything.
use spandrel_index::format::VectorsOf;
use spandrel_index::{DType, Index, Unusable, VectorsShape, check_vectors, encode};

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
    /// A number that the index's type cannot hold.
    #[error("query {query}, element {element} is {value}, which {dtype} cannot hold")]
    Value {
        /// Number of the query.
        query: usize,
        /// Number of the element.
        element: usize,
        /// Value of the element.
        value: f32,
        /// Element type of the index.
        dtype: DType,
    },
    /// Each query has one vector of the column.
    #[error("{column} queries of the column for {queries} queries, expected one for each")]
    ColumnCount {
        /// Queries of the column given.
        column: usize,
        /// Queries given.
        queries: usize,
    },
    /// What is wrong with the queries of the column.
    #[error("column: {0}")]
    Column(Box<QueryError>),
}

impl QueryError {
    /// The same error, with queries counted from the first of all batches: `first` came in those before.
    #[must_use]
    pub fn after(mut self, first: usize) -> QueryError {
        match &mut self {
            QueryError::Unusable { query, .. } | QueryError::Value { query, .. } => *query += first,
            QueryError::Column(of) => **of = of.clone().after(first),
            QueryError::Length { .. } | QueryError::ColumnCount { .. } => {}
        }
        self
    }
}

/// Numbers as queries of an index, lying back to back: to f16 they are rounded, bytes hold whole numbers in their range.
pub(crate) fn queries_of(index: &Index, numbers: &[f32]) -> Result<Vec<u8>, QueryError> {
    let VectorsShape { dtype, dim, .. } = index.shape_of(VectorsOf::Main);
    let mut rows = Vec::with_capacity(dtype.row_bytes(numbers.len()));
    encode(dtype, numbers, &mut rows).map_err(|at| QueryError::Value {
        query: at / dim,
        element: at % dim,
        value: numbers[at],
        dtype,
    })?;
    Ok(rows)
}

/// Checks queries lying back to back: how many there are.
pub(crate) fn check_queries(index: &Index, queries: &[u8]) -> Result<usize, QueryError> {
    check_rows(index.shape_of(VectorsOf::Main), queries)
}

/// Checks the tokens of query documents, lying back to back: how many there are. The index is one of documents.
pub(crate) fn check_tokens(index: &Index, tokens: &[u8]) -> Result<usize, QueryError> {
    check_rows(index.query_shape(), tokens)
}

/// Checks the rows that `count` queries have in the column of an index that has one, lying back to back.
pub(crate) fn check_column_queries(index: &Index, rows: &[u8], count: usize) -> Result<(), QueryError> {
    let column = check_column_rows(index, rows)?;
    if column == count { Ok(()) } else { Err(QueryError::ColumnCount { column, queries: count }) }
}

/// Checks rows of the column of an index that has one, lying back to back: how many there are.
pub(crate) fn check_column_rows(index: &Index, rows: &[u8]) -> Result<usize, QueryError> {
    check_rows(index.shape_of(VectorsOf::Column), rows).map_err(|error| QueryError::Column(Box::new(error)))
}

fn check_rows(shape: VectorsShape, queries: &[u8]) -> Result<usize, QueryError> {
    let VectorsShape { metric, dtype, dim, .. } = shape;
    let row_bytes = shape.row_bytes();
    if !queries.len().is_multiple_of(row_bytes) {
        return Err(QueryError::Length { found: queries.len(), row_bytes, dim, dtype });
    }
    check_vectors(metric, dtype, row_bytes, queries)
        .map_err(|(query, found)| QueryError::Unusable { query, found })?;
    Ok(queries.len() / row_bytes)
}
