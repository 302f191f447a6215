//! Who answers: the indexes of this server today.
mod handed;
mod local;
mod searcher;

pub(crate) use self::local::Local;
pub(crate) use self::searcher::Searcher;
