//! Replicas against the vectors they are copies of, many at a time.
use fs_err::File;
use fs_err::os::unix::fs::FileExt;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::VerifyError;
use super::ids::FirstIds;
use super::records::check_page;
use super::watch::Watch;
use crate::Index;
use crate::format::{BODY_AT, OpenError};

/// Replicas remembered before they are looked up: 24 bytes each.
pub(super) const BATCH: usize = 8 << 20;

struct Replica {
    id: u64,
    /// Of vector and norm.
    hash: u64,
    list: u32,
    position: u32,
}

/// Gathers replicas, and looks them up by id and then by position, so that both files are read forward.
pub(super) struct Replicas<'a> {
    index: &'a Index,
    ids: &'a FirstIds,
    vectors: File,
    batch: Vec<Replica>,
    checked: u64,
}

/// What a replica and its vector must share.
fn content_hash(vector: &[u8], inverse_norm: Option<f32>) -> u64 {
    let norm = inverse_norm.map_or(0, f32::to_bits);
    xxh3_64_with_seed(vector, u64::from(norm))
}

impl<'a> Replicas<'a> {
    pub(super) fn new(index: &'a Index, ids: &'a FirstIds) -> Result<Replicas<'a>, OpenError> {
        let path = index.vectors_path();
        let vectors = File::open(path).map_err(|e| OpenError::read(path, e))?;
        Ok(Replicas { index, ids, vectors, batch: Vec::new(), checked: 0 })
    }

    pub(super) fn add(
        &mut self,
        list: u32,
        id: u64,
        vector: &[u8],
        inverse_norm: Option<f32>,
        watch: &mut Watch<'_>,
    ) -> Result<(), VerifyError> {
        let hash = content_hash(vector, inverse_norm);
        self.batch.push(Replica { id, hash, list, position: 0 });
        if self.batch.len() == BATCH { self.check(watch) } else { Ok(()) }
    }

    /// Checks the last of them: how many there were.
    pub(super) fn finish(mut self, watch: &mut Watch<'_>) -> Result<u64, VerifyError> {
        self.check(watch)?;
        Ok(self.checked)
    }

    fn check(&mut self, watch: &mut Watch<'_>) -> Result<(), VerifyError> {
        self.batch.sort_unstable_by_key(|replica| replica.id);
        let mut lookup = self.ids.lookup();
        for replica in &mut self.batch {
            let Some(position) = lookup.position(replica.id)? else {
                let field = format!("replica in list {}", replica.list);
                let found = format!("id {}", replica.id);
                return Err(
                    OpenError::field(self.index.codes_path(), field, found, "an id of the index").into()
                );
            };
            replica.position = position;
            watch.step(0)?;
        }
        self.batch.sort_unstable_by_key(|replica| replica.position);
        let layout = self.index.page_layout();
        let per_page = layout.page_records() as u64;
        let path = self.index.vectors_path();
        let mut page = vec![0; layout.page_bytes()];
        let mut page_number = None;
        for replica in &self.batch {
            let (number, slot) =
                (u64::from(replica.position) / per_page, u64::from(replica.position) % per_page);
            if page_number != Some(number) {
                let offset = BODY_AT + number * page.len() as u64;
                self.vectors.read_exact_at(&mut page, offset).map_err(|e| OpenError::read(path, e))?;
                check_page(path, &layout, self.index.uuid(), number, &page)?;
                page_number = Some(number);
                watch.step(0)?;
            }
            let record = layout.record(&page, slot as usize); // CAST: below the records of a page
            if content_hash(record.vector, record.inverse_norm) != replica.hash {
                let field = format!("replica of id {} in list {}", replica.id, replica.list);
                let expected = format!("the vector at position {}", replica.position);
                let found = "another vector or norm";
                return Err(OpenError::field(self.index.codes_path(), field, found, expected).into());
            }
        }
        self.checked += self.batch.len() as u64;
        self.batch.clear();
        Ok(())
    }
}
