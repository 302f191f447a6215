//! Documents to be compared with a query document.
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use spandrel_index::Matches;

use crate::answer::Answer;
use crate::documents::DocumentParams;
use crate::filter_plan::{ExplainedFilter, Filtered};

/// A query document whose tokens have found theirs.
pub(crate) struct DocumentTask {
    /// Its tokens, back to back.
    pub(crate) tokens: Bytes,
    pub(crate) params: DocumentParams,
    /// Which documents may be answers; all if not given.
    pub(crate) filter: Option<Arc<Matches>>,
    /// How those that match a filter are searched.
    pub(crate) filtered: Option<Filtered>,
    /// How that was chosen, where the query is to be explained.
    pub(crate) explained: Option<ExplainedFilter>,
    /// What each token has found; nothing where all documents that may be answers are compared.
    pub(crate) found: Vec<Answer>,
    /// What may still be asked of the disk.
    pub(crate) bytes_left: u64,
    /// When a worker took the first of the tokens, where these searched.
    pub(crate) taken: Option<Instant>,
}
