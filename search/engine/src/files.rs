//! Files of an index, opened for the queries.
use std::path::Path;
use std::sync::Arc;

use spandrel_index::format::BODY_AT;
use spandrel_io::{Direct, ReadFile};

use crate::error::EngineError;

/// Opens a file of an index, whose body has that many bytes.
pub(crate) fn open_file(path: &Path, body_bytes: u64, direct: Direct) -> Result<Arc<ReadFile>, EngineError> {
    let file = ReadFile::open(path, direct)?;
    let expected = BODY_AT + body_bytes;
    if file.len() != expected {
        return Err(EngineError::Changed { path: path.display().to_string(), found: file.len(), expected });
    }
    Ok(file)
}
