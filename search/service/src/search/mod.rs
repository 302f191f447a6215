//! Who answers: the indexes of this server today.
mod attention;
mod contents;
mod documents;
mod given;
mod handed;
mod let_in;
mod local;
mod queries;
mod ranging;
mod searcher;
mod united;

pub(crate) use self::local::Local;
pub(crate) use self::ranging::Ranging;
pub(crate) use self::searcher::Searcher;
