//! What is asked of vectors by their ids.
use std::sync::Arc;

/// Vectors of an index by id.
#[derive(Debug)]
pub(crate) struct AskFetch {
    /// Name of the index; empty for the default one.
    pub(crate) index: String,
    pub(crate) ids: Vec<u64>,
    /// Name of the column whose vectors are wanted; empty for the vectors that are searched.
    pub(crate) column: String,
    /// Names of the attributes that the answer carries; none for all that there are, not set where it carries none.
    pub(crate) attributes: Option<Arc<[String]>>,
}
