//! What is found while lists are scanned, and what of it is compared exactly.
mod best;
mod candidate;
mod candidates;
mod contract;
mod copies;
mod front;
mod recorder;
mod tokens;
mod top_k;
mod within;

pub(crate) use best::{Best, Key};
pub(crate) use candidate::Candidate;
pub(crate) use candidates::Keep;
pub(crate) use contract::{Collect, Estimated, Found};
pub(crate) use front::{Front, FrontState};
pub(crate) use recorder::{Recorder, Recording};
pub(crate) use tokens::Tokens;
pub(crate) use top_k::{Collecting, TopK};
pub(crate) use within::{Bound, Within};
