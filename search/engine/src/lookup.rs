//! Vectors by id: id -> position -> page.
use std::sync::Arc;

use spandrel_index::Index;
use spandrel_index::format::{BODY_AT, ID_PAGE_BYTES};
use spandrel_io::{Direct, ReadError, ReadFile};

use crate::EngineError;
use crate::engine::open_file;

/// Why vectors could not be fetched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LookupError {
    /// A page cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A page is damaged. Build the index anew.
    #[error("{path}: page {page}: sum {found:08x}, expected {expected:08x}")]
    Damaged {
        /// The file.
        path: String,
        /// Number of the page.
        page: u64,
        /// The sum of what was read.
        found: u32,
        /// The sum stored with it.
        expected: u32,
    },
    /// The id names a position that there is not. Build the index anew.
    #[error("id {id} is said to be at position {position} of {vectors}")]
    Position {
        /// The id.
        id: u64,
        /// Where it is said to be.
        position: u32,
        /// Positions there are.
        vectors: u64,
    },
}

/// Finds vectors by their ids, with one read of a page for each id and one for each vector.
///
/// Keeps the first id of every page in memory: 8 bytes for about 500 vectors.
#[derive(Debug)]
pub struct Lookup {
    index: Arc<Index>,
    ids: Arc<ReadFile>,
    vectors: Arc<ReadFile>,
    first_ids: Vec<u64>,
}

impl Lookup {
    /// Opens the files of `index` and reads the first ids of pages.
    ///
    /// # Errors
    /// [`EngineError`].
    pub fn open(index: Arc<Index>, direct: Direct) -> Result<Lookup, EngineError> {
        let pages = index.id_pages();
        let count = pages.pages(index.vectors());
        let ids = open_file(index.ids_path(), pages.body_bytes(index.vectors()), direct)?;
        let vectors = open_file(index.vectors_path(), index.vectors_bytes(), direct)?;
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
        Ok(Lookup { index, ids, vectors, first_ids })
    }

    /// The vector of an id exactly as it was given, or `None` if the index has no such id. Blocks for two reads.
    ///
    /// # Errors
    /// [`LookupError`].
    pub fn vector(&self, id: u64) -> Result<Option<Vec<u8>>, LookupError> {
        let Some(position) = self.position(id)? else { return Ok(None) };
        if u64::from(position) >= self.index.vectors() {
            return Err(LookupError::Position { id, position, vectors: self.index.vectors() });
        }
        if let Some(vectors) = self.index.resident_vectors() {
            return Ok(Some(vectors.record(position).vector.to_vec()));
        }
        let layout = self.index.page_layout();
        let (page, slot) = layout.place(position);
        let bytes = layout.page_bytes();
        let read = self.vectors.read_at(BODY_AT + page * bytes as u64, bytes as u32)?; // CAST: a page
        match layout.check_page(self.index.uuid(), page, &read) {
            Ok(()) => Ok(Some(layout.record(&read, slot).vector.to_vec())),
            Err(sums) => Err(damaged(&self.vectors, page, sums)),
        }
    }

    fn position(&self, id: u64) -> Result<Option<u32>, LookupError> {
        let Some(page) = self.first_ids.partition_point(|&first| first <= id).checked_sub(1) else {
            return Ok(None);
        };
        let (pages, page) = (self.index.id_pages(), page as u64);
        let offset = BODY_AT + page * ID_PAGE_BYTES as u64;
        let read = self.ids.read_at(offset, ID_PAGE_BYTES as u32)?; // CAST: 4096
        let entries = pages.page_entries() as u64;
        let count = (self.index.vectors() - page * entries).min(entries) as usize; // CAST: a page's entries
        let pairs = pages.read_page(page, &read, count).map_err(|sums| damaged(&self.ids, page, sums))?;
        let found = pairs.binary_search_by_key(&id, |&(id, _)| id);
        Ok(found.ok().and_then(|at| pairs.get(at)).map(|&(_, position)| position))
    }
}

fn damaged(file: &ReadFile, page: u64, (found, expected): (u32, u32)) -> LookupError {
    LookupError::Damaged { path: file.path().display().to_string(), page, found, expected }
}
