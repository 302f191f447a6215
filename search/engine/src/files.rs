//! Files of an index, opened for the queries.
use std::path::PathBuf;
use std::sync::Arc;

use spandrel_index::attributes::StoredAttribute;
use spandrel_index::format::{BODY_AT, VectorsOf};
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

/// The files of all segments, by number: those of every kind, then attributes that are not in memory. None of vectors that are not held.
pub(crate) fn files_of(index: &Index) -> Vec<Option<QueryFile>> {
    let of_segment = |segment: &Segment| {
        FileKind::ALL.map(|kind| {
            let vectors = |of| {
                let vectors = index.holds(of).then(|| segment.vectors(of))?;
                Some((&vectors.blob, vectors.body_bytes))
            };
            let (blob, body_bytes) = match kind {
                FileKind::Lists => (&segment.codes.blob, segment.codes.body_bytes),
                FileKind::Vectors => vectors(VectorsOf::Main)?,
                FileKind::Column => vectors(VectorsOf::Column)?,
                FileKind::Ids => (&segment.ids.blob, segment.ids.body_bytes),
            };
            Some(QueryFile { is_of_queries: kind != FileKind::Ids, blob: Arc::clone(blob), body_bytes })
        })
    };
    let kinds = index.segments().iter().flat_map(of_segment);
    let attributes = index.segments().iter().flat_map(Segment::attributes).filter_map(|attribute| {
        let (blob, body_bytes) = (attribute.blob()?, attribute.file_bytes() - BODY_AT);
        Some(QueryFile { is_of_queries: false, blob: Arc::clone(blob), body_bytes })
    });
    kinds.chain(attributes.map(Some)).collect()
}

/// What damaged parts of these files are told by, in the order of their numbers.
pub(crate) fn paths_of(files: &[Option<QueryFile>]) -> Vec<PathBuf> {
    files.iter().map(|file| file.as_ref().map_or_else(PathBuf::new, |of| of.blob.path().to_owned())).collect()
}

/// Opens these files, in the order of their numbers.
pub(crate) fn open_files(
    files: &[Option<QueryFile>],
    direct: Direct,
) -> Result<Vec<Option<Arc<ReadFile>>>, EngineError> {
    let open = |file: &QueryFile| open_file(&*file.blob, file.body_bytes, direct);
    files.iter().map(|file| file.as_ref().map(open).transpose()).collect()
}

/// The number of the file of each attribute of each segment; that of one in memory means nothing.
pub(crate) fn attribute_files(index: &Index) -> Vec<Vec<u32>> {
    let mut next = (index.segments().len() * FileKind::ALL.len()) as u32; // CAST: at most 256 segments of a few kinds
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
