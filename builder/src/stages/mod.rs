//! The phases of a build, in order. Each takes what earlier ones left in the checkpoint and the scratch
//! folder, and leaves the bytes that its input and parameters decide.
mod calibrate;
mod check;
mod cluster;
mod encode;
mod file;
mod graph;
mod heads;
mod ids;
mod list;
mod part;
mod publish;
mod sample;
mod train;
mod write;

pub(crate) use calibrate::calibrate;
pub(crate) use check::{CHUNK_BYTES, check, glance, hash_input};
pub(crate) use cluster::cluster;
pub(crate) use file::file;
pub(crate) use graph::graph;
pub(crate) use ids::{RUN_PAIRS, ids};
pub(crate) use part::part;
pub(crate) use publish::{manifest, publish, remove_versions, verify, version_of};
pub(crate) use train::train;
pub(crate) use write::write;

use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::Path;

use fs_err as fs;
use spandrel_index::format::{BODY_AT, SectionKind, hash_hex};
use xxhash_rust::xxh3::xxh3_128;

use crate::checkpoint::Section;
use crate::config::Params;
use crate::plan::PART_SLACK;
use crate::spill::SpillReader;
use crate::{BuildError, Target};

/// Records to be held in memory together: a range of records of one group of the spill.
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

/// What of a spill is in memory at once: its groups, those that came out too large cut into equal ranges of about `target`
/// records.
///
/// Groups are large where many vectors are alike, so that cutting in order loses little.
fn cut_groups(spill: &SpillReader, target: u64) -> Vec<Part> {
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

/// Reads a file of `bytes` bytes from `from` on, and compares that with its hash in hex digits.
fn read_checked(path: &Path, bytes: u64, from: u64, hash: &str) -> Result<Vec<u8>, BuildError> {
    let damaged = |what| BuildError::Scratch { path: path.to_owned(), what };
    let mut file = fs::File::open(path)?;
    let found = file.metadata()?.len();
    if found != bytes || bytes < from {
        return Err(damaged(format!("{found} bytes, expected {bytes}")));
    }
    file.seek(SeekFrom::Start(from))?;
    let mut content = vec![0; (bytes - from) as usize]; // CAST: usize is 64 bits
    file.read_exact(&mut content)?;
    let found = hash_hex(xxh3_128(&content));
    if found == hash { Ok(content) } else { Err(damaged(format!("hash {found}, expected {hash}"))) }
}

/// The body of a section that an earlier phase wrote, checked by its hash.
fn read_section(target: Target<'_>, kind: SectionKind, section: &Section) -> Result<Vec<u8>, BuildError> {
    read_checked(&target.section(kind), section.bytes, BODY_AT, &section.hash)
}

/// A seed for one use of randomness in a build.
fn seed_of(params: &Params, stage: u64, part: u64) -> u64 {
    let words = [params.seed, stage, part].map(u64::to_le_bytes);
    xxhash_rust::xxh3::xxh3_64(words.as_flattened())
}
