//! Where the vectors of ids are: id -> page of ids -> position.
use std::sync::Arc;

use spandrel_index::Index;
use spandrel_index::format::{BODY_AT, ID_PAGE_BYTES};
use spandrel_io::Direct;

use crate::error::EngineError;
use crate::files::open_file;

/// What has to be in memory to find vectors by their ids: the first id of every page of ids, 8 bytes for about 500
/// vectors.
#[derive(Debug)]
pub struct Lookup {
    index: Arc<Index>,
    first_ids: Vec<u64>,
}

impl Lookup {
    /// Reads the first ids of pages.
    ///
    /// # Errors
    /// [`EngineError`].
    pub fn open(index: Arc<Index>, direct: Direct) -> Result<Lookup, EngineError> {
        let pages = index.id_pages();
        let count = pages.pages(index.vectors());
        let ids = open_file(index.ids_path(), pages.body_bytes(index.vectors()), direct)?;
        let mut tail = vec![0; count as usize * 8 + 8]; // CAST: a few bytes for each page
        let at = BODY_AT + count * ID_PAGE_BYTES as u64;
        ids.read_into(at, &mut tail).map_err(EngineError::Ids)?;
        let (first_ids, stored) = tail.split_at(tail.len() - 8);
        let expected = u64::from_le_bytes(stored.try_into().unwrap_or_default());
        let found = pages.tail_hash(first_ids);
        if found != expected {
            return Err(EngineError::IdsDamaged { path: ids.path().display().to_string(), found, expected });
        }
        let first_ids = first_ids.as_chunks::<8>().0.iter().map(|&b| u64::from_le_bytes(b)).collect();
        Ok(Lookup { index, first_ids })
    }

    /// The index it belongs to.
    pub(crate) fn index(&self) -> &Arc<Index> {
        &self.index
    }

    /// The page of ids that holds an id, if any does.
    pub(crate) fn page(&self, id: u64) -> Option<u64> {
        self.first_ids.partition_point(|&first| first <= id).checked_sub(1).map(|page| page as u64)
    }

    /// Ids and positions in a page as read; the sums found and expected if it is damaged.
    pub(crate) fn pairs(&self, page: u64, bytes: &[u8]) -> Result<Vec<(u64, u32)>, (u32, u32)> {
        let pages = self.index.id_pages();
        let entries = pages.page_entries() as u64;
        let count = self.index.vectors().saturating_sub(page * entries).min(entries) as usize; // CAST: a page's
        pages.read_page(page, bytes, count)
    }
}
