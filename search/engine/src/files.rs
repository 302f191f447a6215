//! Files of an index, opened for the queries.
use std::path::{Path, PathBuf};
use std::sync::Arc;

use spandrel_index::format::BODY_AT;
use spandrel_index::{Index, Segment};
use spandrel_io::{Direct, ReadFile};

use crate::error::EngineError;
use crate::reads::FileKind;

/// A file that queries read.
pub(crate) struct QueryFile {
    pub(crate) kind: FileKind,
    pub(crate) path: PathBuf,
    pub(crate) body_bytes: u64,
}

/// The files of all segments, in the order of their slots.
pub(crate) fn files_of(index: &Index) -> Vec<QueryFile> {
    let of_segment = |segment: &Segment| {
        FileKind::ALL.map(|kind| {
            let (path, body_bytes) = match kind {
                FileKind::Lists => (&segment.codes.path, segment.codes.body_bytes),
                FileKind::Vectors => (&segment.vectors.path, segment.vectors.body_bytes),
                FileKind::Ids => (&segment.ids.path, segment.ids.body_bytes),
            };
            QueryFile { kind, path: path.clone(), body_bytes }
        })
    };
    index.segments().iter().flat_map(of_segment).collect()
}

/// Opens a file of an index, whose body has that many bytes.
pub(crate) fn open_file(path: &Path, body_bytes: u64, direct: Direct) -> Result<Arc<ReadFile>, EngineError> {
    let file = ReadFile::open(path, direct)?;
    let expected = BODY_AT + body_bytes;
    if file.len() != expected {
        return Err(EngineError::Changed { path: path.display().to_string(), found: file.len(), expected });
    }
    Ok(file)
}
