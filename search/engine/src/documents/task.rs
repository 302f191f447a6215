//! Documents to be compared with a query document.
use std::time::Instant;

use bytes::Bytes;

use crate::answer::Answer;
use crate::documents::DocumentParams;

/// A query document whose tokens have found theirs.
pub(crate) struct DocumentTask {
    /// Its tokens, back to back.
    pub(crate) tokens: Bytes,
    pub(crate) params: DocumentParams,
    /// What each token has found.
    pub(crate) found: Vec<Answer>,
    /// What may still be asked of the disk.
    pub(crate) bytes_left: u64,
    /// When a worker took the first of the tokens.
    pub(crate) taken: Instant,
}
