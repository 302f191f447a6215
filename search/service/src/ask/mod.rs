//! What callers ask for and get, whichever wire they use: gRPC and HTTP convert to and from these, and the engine answers
//! them. Knows no message of either.
mod filter;
mod form;
mod found;
mod params;
mod target;
mod within;

use spandrel_engine::SearchParams;

pub(crate) use self::filter::{AskFilter, FilterForm};
pub(crate) use self::form::Form;
pub(crate) use self::found::{Effort, Fetched, Found, Rows, Version};
pub(crate) use self::params::{check, lowered};
pub(crate) use self::target::{Numbers, Queries, Target};
pub(crate) use self::within::{AskWithin, EndOfRange};

/// Queries of one index.
#[derive(Debug)]
pub(crate) struct Ask {
    /// Name of the index; empty for the default one.
    pub(crate) index: String,
    pub(crate) target: Target,
    pub(crate) form: Form,
    /// How to search; its effort and filter are for the searcher to set.
    pub(crate) params: SearchParams,
    /// Which vectors may be answers; all if not given.
    pub(crate) filter: Option<AskFilter>,
    /// Whether the answer carries the vectors themselves, and what it took.
    pub(crate) with_vectors: bool,
    pub(crate) with_work: bool,
}
