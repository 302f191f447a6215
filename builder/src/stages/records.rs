//! Records of the spill files, and which of them are in memory together.
use std::ops::Range;

use spandrel_index::HeadSpace;

use crate::config::PART_SLACK;
use crate::config::Params;
use crate::spill::SpillReader;

/// Marks a replica in the list number of a filed copy.
pub(super) const REPLICA_BIT: u32 = 1 << 31;

/// Records to be held in memory together: a range of records of one group of the spill.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Part {
    pub(crate) group: usize,
    pub(crate) records: Range<u64>,
}

impl Part {
    pub(super) fn len(&self) -> u64 {
        self.records.end - self.records.start
    }
}

/// What of a spill is in memory at once: its groups, those that came out too large cut into equal ranges of about `target`
/// records.
///
/// Groups are large where many vectors are alike, so that cutting in order loses little.
pub(super) fn cut_groups(spill: &SpillReader, target: u64) -> Vec<Part> {
    let mut parts = Vec::new();
    for group in 0..spill.groups() {
        let records = spill.records(group);
        let pieces =
            if records > PART_SLACK * target { records.div_ceil(target) } else { u64::from(records > 0) };
        for piece in 0..pieces {
            let at = |piece: u64| records * piece / pieces;
            parts.push(Part { group, records: at(piece)..at(piece + 1) });
        }
    }
    parts
}

/// A record of a spill: `list (filed copies only) | row | id (own ids only) | vector`.
#[derive(Debug, Clone, Copy)]
pub(super) struct RecordLayout {
    row_at: usize,
    id_bytes: usize,
    pub(super) bytes: usize,
}

impl RecordLayout {
    pub(super) fn of_parts(params: &Params) -> RecordLayout {
        RecordLayout { row_at: 0, id_bytes: params.scratch_id_bytes(), bytes: params.part_record_bytes() }
    }

    pub(super) fn of_filed(params: &Params) -> RecordLayout {
        RecordLayout { row_at: 4, id_bytes: params.scratch_id_bytes(), bytes: params.filed_record_bytes() }
    }

    /// One of the records, by its number.
    pub(super) fn record(self, records: &[u8], number: u32) -> &[u8] {
        &records[number as usize * self.bytes..][..self.bytes]
    }

    /// The first four bytes of a filed copy.
    pub(super) fn list(self, record: &[u8]) -> u32 {
        word(record)
    }

    pub(super) fn row(self, record: &[u8]) -> u32 {
        word(&record[self.row_at..])
    }

    pub(super) fn id(self, record: &[u8]) -> u64 {
        match record[self.row_at + 4..self.row_at + 4 + self.id_bytes].first_chunk() {
            Some(&id) => u64::from_le_bytes(id),
            None => u64::from(self.row(record)),
        }
    }

    pub(super) fn vector(self, record: &[u8]) -> &[u8] {
        &record[self.row_at + 4 + self.id_bytes..self.bytes]
    }
}

fn word(bytes: &[u8]) -> u32 {
    bytes.first_chunk().map_or_else(|| unreachable!("records are longer"), |&b| u32::from_le_bytes(b))
}

/// The rows in head space of records.
pub(super) fn head_rows<'a>(
    params: &Params,
    space: HeadSpace,
    layout: RecordLayout,
    records: impl ExactSizeIterator<Item = &'a [u8]>,
) -> Vec<u8> {
    let mut rows = Vec::with_capacity(records.len() * params.head_row_bytes());
    for record in records {
        space.map_vector(params.dtype, layout.vector(record), &mut rows);
    }
    rows
}
