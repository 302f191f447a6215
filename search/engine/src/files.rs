//! Files of an index, opened for the queries.
use std::sync::Arc;

use spandrel_index::format::BODY_AT;
use spandrel_index::{Index, Segment};
use spandrel_io::{Blob, Direct, ReadFile};

use crate::error::EngineError;
use crate::reads::FileKind;

/// A file that queries read.
pub(crate) struct QueryFile {
    pub(crate) kind: FileKind,
    pub(crate) blob: Arc<dyn Blob>,
    pub(crate) body_bytes: u64,
}

/// The files of all segments, by number.
pub(crate) fn files_of(index: &Index) -> Vec<QueryFile> {
    let of_segment = |segment: &Segment| {
        FileKind::ALL.map(|kind| {
            let (blob, body_bytes) = match kind {
                FileKind::Lists => (&segment.codes.blob, segment.codes.body_bytes),
                FileKind::Vectors => (&segment.vectors.blob, segment.vectors.body_bytes),
                FileKind::Ids => (&segment.ids.blob, segment.ids.body_bytes),
            };
            QueryFile { kind, blob: Arc::clone(blob), body_bytes }
        })
    };
    index.segments().iter().flat_map(of_segment).collect()
}

/// What a reader reads a file of an index by, whose body has `body_bytes` bytes.
pub(crate) fn open_file(
    blob: &dyn Blob,
    body_bytes: u64,
    direct: Direct,
) -> Result<Arc<ReadFile>, EngineError> {
    let file = blob.for_queries(direct)?;
    let expected = BODY_AT + body_bytes;
    if file.len() != expected {
        return Err(EngineError::Changed {
            path: blob.path().display().to_string(),
            found: file.len(),
            expected,
        });
    }
    Ok(file)
}
