//! Why a join failed.
use std::path::PathBuf;

use spandrel_index::{DType, SourceError};
use spandrel_io::ReadError;
use spandrel_names::{size_left, size_needed};

use crate::error::EngineError;
use crate::params::ParamsError;
use crate::validate::QueryError;

/// Why a join failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JoinError {
    /// The parameters do not fit the index.
    #[error(transparent)]
    Params(#[from] ParamsError),
    /// A query is no vector of the index.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// Queries of another shape.
    #[error(
        "queries of {found_dim} x {found}, the index has {dim} x {dtype}; join with vectors of the kind that was indexed"
    )]
    Shape {
        /// Elements of a query.
        found_dim: usize,
        /// Element type of the queries.
        found: DType,
        /// Elements of a vector of the index.
        dim: usize,
        /// Element type of the index.
        dtype: DType,
    },
    /// An index of documents of many vectors: its vectors have no ids of their own.
    #[error(
        "the index is one of documents of many vectors, which are not joined; build an index of the vectors"
    )]
    Documents,
    /// There is nothing to join.
    #[error("no queries, expected one or more")]
    Empty,
    /// Queries cannot be read.
    #[error("reading queries")]
    Source(#[from] SourceError),
    /// Vectors of the index cannot be read.
    #[error("reading vectors of the index")]
    Read(#[from] ReadError),
    /// A page of vectors is damaged: without it the result would not be whole. Verify the index, and build it anew.
    #[error(
        "{path}: page {page}: crc32c {found:08x}, expected {expected:08x}; verify the index, and build it anew"
    )]
    Damaged {
        /// File of vectors.
        path: PathBuf,
        /// Number of the page.
        page: u64,
        /// Sum of the bytes read.
        found: u32,
        /// Sum that was written.
        expected: u32,
    },
    /// The files of the index cannot be opened.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// Too little memory. Allow more, or use fewer threads.
    #[error(
        "a memory of {}, the join needs {} at least; allow that, or use fewer threads", size_left(*allowed), size_needed(*needed)
    )]
    Memory {
        /// Bytes allowed.
        allowed: u64,
        /// The least that works.
        needed: u64,
    },
    /// It was told to stop.
    #[error("stopped after {groups} groups of queries")]
    Stopped {
        /// Groups that were handed out.
        groups: usize,
    },
    /// A thread of the join broke down.
    #[error("a thread of the join broke down")]
    Broken,
}
