//! Replicas against the vectors they are copies of, many at a time.
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::error::VerifyError;
use super::ids::FirstIds;
use super::records::PageReader;
use super::watch::Watch;
use crate::Segment;
use crate::format::{OpenError, VectorsOf};

/// Replicas remembered before they are looked up: 24 bytes each.
pub(super) const BATCH: usize = 8 << 20;
/// Ids looked up at a time.
const IDS: usize = 1 << 16;

struct Replica {
    id: u64,
    /// Of vector and norm.
    hash: u64,
    list: u32,
    position: u32,
}

/// A replica as its list has it.
#[derive(Clone, Copy)]
pub(super) struct Copied<'a> {
    pub(super) list: u32,
    pub(super) id: u64,
    pub(super) position: u32,
    pub(super) vector: &'a [u8],
    pub(super) inverse_norm: Option<f32>,
}

/// Gathers replicas, and looks them up by id and then by position, so that both files are read forward.
pub(super) struct Replicas<'a> {
    segment: &'a Segment,
    ids: &'a FirstIds,
    pages: PageReader<'a>,
    batch: Vec<Replica>,
    checked: u64,
}

/// What a replica and its vector must share.
fn content_hash(vector: &[u8], inverse_norm: Option<f32>) -> u64 {
    let norm = inverse_norm.map_or(0, f32::to_bits);
    xxh3_64_with_seed(vector, u64::from(norm))
}

impl<'a> Replicas<'a> {
    pub(super) fn new(segment: &'a Segment, ids: &'a FirstIds) -> Replicas<'a> {
        Replicas {
            segment,
            ids,
            pages: PageReader::new(segment, VectorsOf::Main),
            batch: Vec::new(),
            checked: 0,
        }
    }

    pub(super) fn add(&mut self, copied: Copied<'_>, watch: &mut Watch<'_>) -> Result<(), VerifyError> {
        let Copied { list, id, position, vector, inverse_norm } = copied;
        let hash = content_hash(vector, inverse_norm);
        self.batch.push(Replica { id, hash, list, position });
        if self.batch.len() == BATCH { self.check(watch) } else { Ok(()) }
    }

    /// Checks the last of them: how many there were.
    pub(super) fn finish(mut self, watch: &mut Watch<'_>) -> Result<u64, VerifyError> {
        self.check(watch)?;
        Ok(self.checked)
    }

    fn check(&mut self, watch: &mut Watch<'_>) -> Result<(), VerifyError> {
        self.batch.sort_unstable_by_key(|replica| replica.id);
        for replicas in self.batch.chunks(IDS) {
            let ids: Vec<u64> = replicas.iter().map(|replica| replica.id).collect();
            let (mut replicas, path) = (replicas.iter(), &self.segment.codes.path);
            self.ids.finder.find::<VerifyError>(
                &ids,
                || watch.step(0),
                |id, position| {
                    let Some(replica) = replicas.next() else { unreachable!("a replica for each id") };
                    let refused = |field: String, found: String, expected: String| {
                        Err(OpenError::field(path, field, found, expected).into())
                    };
                    match position {
                        None => {
                            let field = format!("replica in list {}", replica.list);
                            refused(field, format!("id {id}"), "an id of the index".to_owned())
                        }
                        Some(position) if position != replica.position => {
                            let field =
                                format!("position of the replica of id {id} in list {}", replica.list);
                            refused(field, replica.position.to_string(), position.to_string())
                        }
                        Some(_) => Ok(()),
                    }
                },
            )?;
        }
        self.batch.sort_unstable_by_key(|replica| replica.position);
        for replica in &self.batch {
            let record = self.pages.record(replica.position, watch)?;
            if content_hash(record.vector, record.inverse_norm) != replica.hash {
                let field = format!("replica of id {} in list {}", replica.id, replica.list);
                let expected = format!("the vector at position {}", replica.position);
                let found = "another vector or norm";
                return Err(OpenError::field(&self.segment.codes.path, field, found, expected).into());
            }
        }
        self.checked += self.batch.len() as u64;
        self.batch.clear();
        Ok(())
    }
}
