//! What is asked within a radius, and what is to be said at the end.
use std::sync::Arc;
use std::time::Instant;

use spandrel_engine::{Answer, Duplicates, RangeParams};

use super::filter::AskFilter;
use super::found::Version;
use super::target::Target;
use crate::limits::Limits;
use crate::refusal::Refusal;

/// One query for all vectors within a radius, of one index or of several as one.
#[derive(Debug, Clone)]
pub(crate) struct AskWithin {
    /// Name of the index; empty for the default one.
    pub(crate) index: String,
    /// Names of the indexes that are searched as one; none where one is.
    pub(crate) indexes: Vec<String>,
    /// What an id means that several of these have.
    pub(crate) duplicates: Duplicates,
    pub(crate) target: Target,
    /// What is wanted; its completeness is for the searcher to lower under load, its filter for it to set.
    pub(crate) params: RangeParams,
    /// Which vectors may be answers; all if not given.
    pub(crate) filter: Option<Arc<AskFilter>>,
    /// Version of the model that the query comes from, if that was said.
    pub(crate) embedding_version: Option<String>,
}

/// What is to be said of all parts of an answer.
pub(crate) struct EndOfRange {
    /// Vectors in all parts.
    pub(crate) results: u64,
    /// What they took and miss, without neighbours.
    pub(crate) answer: Answer,
    /// Vectors that the filter matches, where there is one.
    pub(crate) matches: Option<u64>,
    /// The share that was searched for.
    pub(crate) completeness: f32,
    pub(crate) version: Version,
    /// Names and versions of the indexes that were searched as one; none where one was.
    pub(crate) versions: Vec<(String, Version)>,
    /// Vectors left out since another of them has their id at another distance.
    pub(crate) unlike: u32,
    /// Vectors of the index, or of all.
    pub(crate) vectors: u64,
    /// When the query came.
    pub(crate) arrival: Instant,
}

impl AskWithin {
    /// Refuses what is over the server's limits.
    pub(crate) fn check(&self, limits: &Limits) -> Result<(), Refusal> {
        let limit = limits.range_results_max as usize; // CAST: widening
        match self.params.max_results {
            Some(found) if found > limit => Err(Refusal::limit("max_results", found, limit)),
            _ => Ok(()),
        }
    }
}
