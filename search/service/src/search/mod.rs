//! Who answers: the indexes of this server today.
mod attention;
mod contents;
mod documents;
mod given;
mod handed;
mod let_in;
mod local;
mod queries;
mod ranges;
mod ranging;
mod searcher;
mod united;
mod united_within;

pub(crate) use self::local::Local;
pub(crate) use self::ranges::Ranges;
pub(crate) use self::searcher::Searcher;
