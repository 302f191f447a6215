//! Queries of vectors as they are asked.
use bytes::Bytes;

use crate::ask::Queries;

/// What is searched for, as far as it can be told without reading.
pub(super) enum Given<'a> {
    Rows(Queries<'a>),
    Ids(Vec<u64>),
}

impl Given<'_> {
    /// What came with the request.
    pub(super) fn rows(&self) -> Option<&Bytes> {
        match self {
            Given::Rows(queries) => Some(&queries.rows),
            Given::Ids(_) => None,
        }
    }

    pub(super) fn count(&self) -> usize {
        match self {
            Given::Rows(queries) => queries.count,
            Given::Ids(ids) => ids.len(),
        }
    }
}
