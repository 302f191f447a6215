//! Files of an index, opened for the queries.
use std::sync::Arc;

use spandrel_index::attributes::StoredAttribute;
use spandrel_index::format::BODY_AT;
use spandrel_index::{Index, Segment};
use spandrel_io::{Blob, Direct, ReadFile};

use crate::error::EngineError;
use crate::reads::FileKind;

/// A file that search threads read.
pub(crate) struct QueryFile {
    /// Whether queries read it, not only fetches by id.
    pub(crate) is_of_queries: bool,
    pub(crate) blob: Arc<dyn Blob>,
    pub(crate) body_bytes: u64,
}

/// The files of all segments, by number: those of every kind, then attributes that are not in memory.
pub(crate) fn files_of(index: &Index) -> Vec<QueryFile> {
    let of_segment = |segment: &Segment| {
        FileKind::ALL.map(|kind| {
            let (blob, body_bytes) = match kind {
                FileKind::Lists => (&segment.codes.blob, segment.codes.body_bytes),
                FileKind::Vectors => (&segment.vectors.blob, segment.vectors.body_bytes),
                FileKind::Ids => (&segment.ids.blob, segment.ids.body_bytes),
            };
            QueryFile { is_of_queries: kind != FileKind::Ids, blob: Arc::clone(blob), body_bytes }
        })
    };
    let kinds = index.segments().iter().flat_map(of_segment);
    let attributes = index.segments().iter().flat_map(Segment::attributes).filter_map(|attribute| {
        let (blob, body_bytes) = (attribute.blob()?, attribute.file_bytes() - BODY_AT);
        Some(QueryFile { is_of_queries: false, blob: Arc::clone(blob), body_bytes })
    });
    kinds.chain(attributes).collect()
}

/// The number of the file of each attribute of each segment; that of one in memory means nothing.
pub(crate) fn attribute_files(index: &Index) -> Vec<Vec<u32>> {
    let mut next = (index.segments().len() * FileKind::ALL.len()) as u32; // CAST: small numbers
    let of_segment = |segment: &Segment| {
        let number = |attribute: &StoredAttribute| {
            let number = next;
            next += u32::from(!attribute.is_resident());
            number
        };
        segment.attributes().iter().map(number).collect()
    };
    index.segments().iter().map(of_segment).collect()
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
