//! What callers ask for and get, whichever wire they use: gRPC and HTTP convert to and from these, and the engine answers
//! them. Knows no message of either.
mod column;
mod documents;
mod embedding;
mod fetch;
mod filter;
mod form;
mod found;
mod params;
mod target;
mod within;

use std::sync::Arc;

use spandrel_engine::{Duplicates, SearchParams};

pub(crate) use self::column::{AskColumn, column};
pub(crate) use self::documents::offsets;
pub(crate) use self::embedding::check_version;
pub(crate) use self::fetch::AskFetch;
pub(crate) use self::filter::{AskFilter, FilterForm, Written};
pub(crate) use self::form::Form;
pub(crate) use self::found::{Effort, Fetched, FilterTold, Found, Rows, United, Version};
pub(crate) use self::params::{check, lists_cap, lowered, tell_cap};
pub(crate) use self::target::{Fit, Numbers, Queries, Target};
pub(crate) use self::within::{AskWithin, EndOfRange};

/// Queries of one index, or of several as one. A copy shares all that is large but numbers and ids.
#[derive(Debug, Clone)]
pub(crate) struct Ask {
    /// Name of the index; empty for the default one.
    pub(crate) index: String,
    /// Names of the indexes that are searched as one; none where one is.
    pub(crate) indexes: Vec<String>,
    /// What an id means that several of these have.
    pub(crate) duplicates: Duplicates,
    pub(crate) target: Target,
    /// The queries' vectors in a column, where candidates are compared by it.
    pub(crate) column: Option<AskColumn>,
    pub(crate) form: Form,
    /// How to search; its effort and filter are for the searcher to set.
    pub(crate) params: SearchParams,
    /// Which vectors may be answers; all if not given.
    pub(crate) filter: Option<Arc<AskFilter>>,
    /// Version of the model that the queries come from, if that was said.
    pub(crate) embedding_version: Option<String>,
    /// Names of the attributes that the answer carries; none for all that there are, not set where it carries none.
    pub(crate) attributes: Option<Arc<[String]>>,
    /// Whether the answer carries the vectors themselves, and what it took.
    pub(crate) with_vectors: bool,
    pub(crate) with_work: bool,
    /// What inner products are multiplied with, where the attention mass of answers is asked for.
    pub(crate) attention_scale: Option<f64>,
}
