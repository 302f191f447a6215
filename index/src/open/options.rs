//! Where parts of an index are kept while it is open.
use crate::Tier;

/// Where parts of an index are kept while it is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OpenOptions {
    /// Codes of the lists; where the index was built for if not given.
    pub codes: Option<Tier>,
    /// The vectors themselves; on SSD if not given.
    pub vectors: Option<Tier>,
    /// Whether the ids of all vectors are kept in memory, which answering with estimates needs.
    pub ids: bool,
}
