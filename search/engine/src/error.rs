//! Why the engine could not start, or a search gave no answer.
use std::error::Error;
use std::io;

use spandrel_index::Unusable;
use spandrel_io::{BufferError, OpenError, ReaderError};
use spandrel_names::{size_left, size_needed};

use crate::{ParamsError, QueryError};

/// Why an engine could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// A number of threads or queries in flight that makes no sense.
    #[error("{field} is {found}, expected 1 to {max}")]
    Config {
        /// Name of the setting that is out of range.
        field: &'static str,
        /// Value given for the setting.
        found: usize,
        /// The largest value accepted.
        max: usize,
    },
    /// The file of the lists cannot be opened as wanted.
    #[error("the lists cannot be opened")]
    Open(#[from] OpenError),
    /// The file of the lists is not the one that was there when the index was opened. Open the index again.
    #[error(
        "{path}: {found} bytes, expected {expected}: it changed since the index was opened; open it again"
    )]
    Changed {
        /// File of the lists.
        path: String,
        /// Bytes it has now.
        found: u64,
        /// Bytes it had.
        expected: u64,
    },
    /// There is no such memory for the cache. Ask for less.
    #[error("no {} of memory for the cache; ask for less", size_needed(*bytes))]
    Cache {
        /// Bytes asked for.
        bytes: u64,
        /// What the allocator answered.
        #[source]
        source: BufferError,
    },
    /// The backend asked for cannot be had.
    #[error("reads cannot be set up")]
    Reader(#[from] ReaderError),
    /// The system gives no more threads.
    #[error("a search thread cannot be started")]
    Thread(#[source] io::Error),
}

/// Why a search gave no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SearchError {
    /// The parameters do not fit the index.
    #[error(transparent)]
    Params(#[from] ParamsError),
    /// A query is no vector of the index.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// A query document has no token.
    #[error("a query document of no vectors, expected 1 or more")]
    NoTokens,
    /// The encoding of a query document is beyond what can be compared. Give fewer or shorter vectors.
    #[error("the encoding of query document {document}: {found}; give fewer or shorter vectors")]
    Encoding {
        /// Number of the document.
        document: usize,
        /// What is wrong with it.
        found: Unusable,
    },
    /// The offsets of query documents are those of other vectors.
    #[error("query documents of {covered} vectors, there are {rows}; give the offsets of these vectors")]
    Offsets {
        /// Vectors that the documents cover.
        covered: u64,
        /// Vectors of the query documents given.
        rows: usize,
    },
    /// A search within a radius is one query.
    #[error("{found} queries for a search within a radius, expected 1")]
    RangeQueries {
        /// Queries given.
        found: usize,
    },
    /// A scorer scores for one query.
    #[error("{found} queries for a scored search, expected 1")]
    ScoredQueries {
        /// Queries given.
        found: usize,
    },
    /// Too much is waiting already. Try again later.
    #[error("the queue of {queue} places is full, try again later")]
    Overloaded {
        /// Places in the queue.
        queue: usize,
    },
    /// Its deadline passed before all of it was started.
    #[error("the deadline passed with {answered} of {queries} queries answered")]
    Deadline {
        /// Queries answered before.
        answered: usize,
        /// Queries asked.
        queries: usize,
    },
    /// It was told to stop.
    #[error("stopped with {answered} of {queries} queries answered")]
    Stopped {
        /// Queries answered before.
        answered: usize,
        /// Queries asked.
        queries: usize,
    },
    /// The values of attributes take more memory than was allowed. Ask for fewer ids or attributes, or allow more.
    #[error("values of attributes take more than {}; ask for fewer neighbours or attributes", size_left(*bytes_max as u64))]
    Cells {
        /// Bytes allowed.
        bytes_max: usize,
    },
    /// The search thread that worked on it broke down. Ask again: the thread is being replaced.
    #[error("a search thread broke down ({reason}) and is being replaced; ask again")]
    Broken {
        /// What happened to it.
        reason: String,
    },
    /// The engine is closing, or all its search threads broke down and are not replaced yet. Ask again later.
    #[error("no search thread is running: they broke down and are being replaced, or the engine is closing")]
    Closed,
}

/// An error and what caused it, on one line.
pub(crate) fn with_cause(error: &dyn Error) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}
