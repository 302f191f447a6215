//! The phases of a build, in order. Each takes what earlier ones left in the checkpoint and the scratch
//! folder, and leaves the bytes that its input and parameters decide.
mod calibrate;
mod check;
mod cluster;
mod encode;
mod file;
mod graph;
mod ids;
mod list;
mod part;
mod publish;
mod sample;
mod train;
mod write;

pub(crate) use calibrate::calibrate;
pub(crate) use check::{check, glance, hash_input};
pub(crate) use cluster::cluster;
pub(crate) use file::file;
pub(crate) use graph::graph;
pub(crate) use ids::ids;
pub(crate) use part::part;
pub(crate) use publish::{manifest, publish, remove_versions, verify, version_of};
pub(crate) use train::train;
pub(crate) use write::write;

use std::ops::Range;

use crate::config::Params;
use crate::plan::PART_SLACK;
use crate::spill::SpillIndex;

/// One part to be held in memory: a range of records of one group of the spill.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Part {
    pub(crate) group: usize,
    pub(crate) records: Range<u64>,
}

impl Part {
    fn len(&self) -> u64 {
        self.records.end - self.records.start
    }
}

/// The parts of a spill: its groups, those that came out too large cut into equal ranges.
///
/// Groups are large where many vectors are alike, so that cutting in order loses little.
fn parts(params: &Params, spill: &SpillIndex) -> Vec<Part> {
    let mut parts = Vec::new();
    for group in 0..spill.groups() {
        let records = spill.records(group);
        let pieces = if records > PART_SLACK * params.part_rows() {
            records.div_ceil(params.part_rows())
        } else {
            u64::from(records > 0)
        };
        for piece in 0..pieces {
            let at = |piece: u64| records * piece / pieces;
            parts.push(Part { group, records: at(piece)..at(piece + 1) });
        }
    }
    parts
}

/// A record of a spill: `list (filed copies only) | row | id (own ids only) | vector`.
#[derive(Debug, Clone, Copy)]
struct RecordLayout {
    row_at: usize,
    id_bytes: usize,
    bytes: usize,
}

impl RecordLayout {
    fn of_parts(params: &Params) -> RecordLayout {
        RecordLayout { row_at: 0, id_bytes: params.scratch_id_bytes(), bytes: params.part_record_bytes() }
    }

    fn of_filed(params: &Params) -> RecordLayout {
        RecordLayout { row_at: 4, id_bytes: params.scratch_id_bytes(), bytes: params.filed_record_bytes() }
    }

    /// The first four bytes of a filed copy.
    fn list(self, record: &[u8]) -> u32 {
        word(record)
    }

    fn row(self, record: &[u8]) -> u32 {
        word(&record[self.row_at..])
    }

    fn id(self, record: &[u8]) -> u64 {
        match record[self.row_at + 4..self.row_at + 4 + self.id_bytes].first_chunk() {
            Some(&id) => u64::from_le_bytes(id),
            None => u64::from(self.row(record)),
        }
    }

    fn vector(self, record: &[u8]) -> &[u8] {
        &record[self.row_at + 4 + self.id_bytes..self.bytes]
    }
}

fn word(bytes: &[u8]) -> u32 {
    bytes.first_chunk().map_or_else(|| unreachable!("records are longer"), |&b| u32::from_le_bytes(b))
}

/// A seed for one use of randomness in a build.
fn seed_of(params: &Params, stage: u64, part: u64) -> u64 {
    let words = [params.seed, stage, part].map(u64::to_le_bytes);
    xxhash_rust::xxh3::xxh3_64(words.as_flattened())
}
