//! Why an index could not be calibrated.
use spandrel_index::format::OpenError;
use spandrel_io::ReadError;

use crate::error::{EngineError, SearchError};

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
    /// Lists or pages of the index are damaged or cannot be read.
    #[error("{parts} damaged lists or pages were met")]
    Damaged {
        /// How often.
        parts: u64,
    },
    /// The caller wished to stop.
    #[error("stopped")]
    Stopped,
}
