//! What scans of codes take from a segment.
use spandrel_index::codes::CodeModel;
use spandrel_index::{Index, ResidentCodes, Segment};

pub(super) fn model(segment: &Segment) -> &CodeModel {
    match &segment.model {
        Some(model) => model,
        None => unreachable!("an index with lists of codes has a model"),
    }
}

pub(super) fn resident(segment: &Segment) -> &ResidentCodes {
    match &segment.codes.resident {
        Some(codes) => codes,
        None => unreachable!("codes are in memory in all segments or in none"),
    }
}

/// Memory that the codes of all segments take.
pub(super) fn codes_bytes(index: &Index) -> usize {
    index.segments().iter().map(|segment| resident(segment).memory_bytes()).sum()
}
