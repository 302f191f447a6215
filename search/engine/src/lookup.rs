//! Where the vectors of ids are: id -> page of ids -> position.
use std::sync::Arc;

use spandrel_index::format::{BODY_AT, ID_PAGE_BYTES};
use spandrel_index::{Index, Segment};
use spandrel_io::Direct;

use crate::error::EngineError;
use crate::files::open_file;
use crate::pages::PageKey;

/// What has to be in memory to find vectors by their ids: the first id of every page of ids, 8 bytes for about 500
/// vectors.
#[derive(Debug)]
pub struct Lookup {
    index: Arc<Index>,
    /// Of each segment.
    first_ids: Vec<Vec<u64>>,
}

impl Lookup {
    /// Reads the first ids of pages.
    ///
    /// # Errors
    /// [`EngineError`].
    pub fn open(index: Arc<Index>, direct: Direct) -> Result<Lookup, EngineError> {
        let of_segment = |segment| first_ids(segment, direct);
        let first_ids = index.segments().iter().map(of_segment).collect::<Result<_, _>>()?;
        Ok(Lookup { index, first_ids })
    }

    /// The index it belongs to.
    pub(crate) fn index(&self) -> &Arc<Index> {
        &self.index
    }

    /// The pages of ids that an id is on if it is one of their segment, one of each.
    pub(crate) fn pages(&self, id: u64) -> impl Iterator<Item = PageKey> {
        (0..).zip(&self.first_ids).filter_map(move |(segment, firsts)| {
            let page = firsts.partition_point(|&first| first <= id).checked_sub(1)?;
            Some(PageKey::new(segment, page as u64))
        })
    }

    /// Ids and positions in a page as read; the sums found and expected if it is damaged.
    pub(crate) fn pairs(&self, page: PageKey, bytes: &[u8]) -> Result<Vec<(u64, u32)>, (u32, u32)> {
        let segment = &self.index.segments()[usize::from(page.segment())];
        let entries = segment.ids.layout.page_entries() as u64;
        let left = segment.count.saturating_sub(page.number() * entries);
        segment.ids.layout.read_page(page.number(), bytes, left.min(entries) as usize) // CAST: a page's
    }
}

/// The first id of each page of a segment.
fn first_ids(segment: &Segment, direct: Direct) -> Result<Vec<u64>, EngineError> {
    let pages = segment.ids.layout;
    let count = pages.pages(segment.count);
    let ids = open_file(&*segment.ids.blob, segment.ids.body_bytes, direct)?;
    let mut tail = vec![0; count as usize * 8 + 8]; // CAST: a few bytes for each page
    let at = BODY_AT + count * ID_PAGE_BYTES as u64;
    ids.read_into(at, &mut tail).map_err(EngineError::Ids)?;
    let (first_ids, stored) = tail.split_at(tail.len() - 8);
    let expected = u64::from_le_bytes(stored.try_into().unwrap_or_default());
    let found = pages.tail_hash(first_ids);
    if found != expected {
        return Err(EngineError::IdsDamaged { path: ids.path().display().to_string(), found, expected });
    }
    Ok(first_ids.as_chunks::<8>().0.iter().map(|&b| u64::from_le_bytes(b)).collect())
}
