//! Why an index could not be calibrated.
use std::path::PathBuf;

use spandrel_index::format::OpenError;
use spandrel_io::{ReadError, ReadFile};

use crate::damage::DamagedPart;
use crate::error::{EngineError, SearchError};
use crate::validate::QueryError;

/// Why an index could not be calibrated.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CalibrateError {
    /// It cannot be opened.
    #[error("the index cannot be opened")]
    Open(#[from] OpenError),
    /// It cannot be searched.
    #[error("the index cannot be searched")]
    Engine(#[from] EngineError),
    /// A search gave no answer.
    #[error("the index cannot be searched")]
    Search(#[from] SearchError),
    /// Its vectors or lists cannot be read.
    #[error("the index cannot be read")]
    Read(#[from] ReadError),
    /// A list or page of the index is not what was written. Verify the index, and build it anew.
    #[error("{path}: {part} is damaged; verify the index, and build it anew", path = path.display())]
    Damaged {
        /// File of the index that holds the part.
        path: PathBuf,
        /// Which list or page of the file.
        part: DamagedPart,
    },
    /// Threads cannot be started.
    #[error("{threads} threads cannot be started")]
    Threads {
        /// How many were asked for.
        threads: usize,
        /// What came of it.
        source: rayon::ThreadPoolBuildError,
    },
    /// Not a confidence.
    #[error("confidence is {found}, expected more than 0 and less than 1")]
    Confidence {
        /// The value given.
        found: f64,
    },
    /// The queries given cannot be searched for.
    #[error(transparent)]
    Queries(#[from] QueryError),
    /// Too few queries were given to say anything. A recall of `R` takes `10 / (1 - R)` of them or more.
    #[error("{found} queries are given, expected {needed} at least; 1000 are enough for a recall of 0.99")]
    Few {
        /// Queries given.
        found: usize,
        /// Queries that the lowest recall takes.
        needed: usize,
    },
    /// The truth is not that of the queries: it has another number of them.
    #[error("{found} true neighbours are given, expected {columns} for each of {queries} queries")]
    TruthShape {
        /// Neighbours given.
        found: usize,
        /// Queries given.
        queries: usize,
        /// Neighbours of each.
        columns: usize,
    },
    /// The truth names an id that no vector has: row numbers, where the index has ids of its own, or another base.
    #[error("the truth of query {query} names the id {id}, which no vector of the index has")]
    TruthId {
        /// Number of the query.
        query: usize,
        /// Id in the truth that the index lacks.
        id: u64,
    },
    /// The truth names a vector twice.
    #[error("the truth of query {query} names the id {id} twice")]
    TruthTwice {
        /// Number of the query.
        query: usize,
        /// Id that stands twice.
        id: u64,
    },
    /// An exact search finds nearer vectors than the truth: it is of another base, metric, or other queries.
    #[error(
        "neighbour {neighbour} of query {query} is at distance {found} by the truth, and at {expected} by an exact search; \
         without a truth the neighbours are computed"
    )]
    TruthFit {
        /// Number of the query.
        query: usize,
        /// Number of the neighbour, from 0.
        neighbour: usize,
        /// Distance of the truth's neighbour.
        found: f32,
        /// Distance of the true neighbour.
        expected: f32,
    },
    /// The caller wished to stop.
    #[error("stopped")]
    Stopped,
}

impl CalibrateError {
    /// That a list of a file is not what was written.
    pub(super) fn damaged_list(file: &ReadFile, list: u32) -> CalibrateError {
        CalibrateError::Damaged { path: file.path().to_owned(), part: DamagedPart::List(list) }
    }
}
