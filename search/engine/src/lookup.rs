//! Where the vectors of ids are: id -> page of ids -> position.
use std::sync::Arc;

use spandrel_index::format::OpenError;
use spandrel_index::{Index, Segment};

use crate::pages::PageKey;

/// An index whose vectors are found by their ids: it has in memory what that takes ([`Segment::id_finder`]).
#[derive(Debug)]
pub struct Lookup {
    index: Arc<Index>,
}

impl Lookup {
    /// Reads what has to be in memory.
    ///
    /// # Errors
    /// [`OpenError`] when that cannot be read or is damaged.
    pub fn open(index: Arc<Index>) -> Result<Lookup, OpenError> {
        index.segments().iter().try_for_each(|segment| segment.id_finder().map(drop))?;
        Ok(Lookup { index })
    }

    /// The index it belongs to.
    pub(crate) fn index(&self) -> &Arc<Index> {
        &self.index
    }

    /// The pages of ids that an id is on if it is one of their segment, one of each.
    pub(crate) fn pages(&self, id: u64) -> impl Iterator<Item = PageKey> {
        let page = move |segment: &Segment| segment.id_finder().ok()?.page_of(id);
        (0..)
            .zip(self.index.segments())
            .filter_map(move |(number, segment)| Some(PageKey::new(number, page(segment)?)))
    }

    /// Ids and positions in a page as read; the sums found and expected if it is damaged.
    pub(crate) fn pairs(&self, page: PageKey, bytes: &[u8]) -> Result<Vec<(u64, u32)>, (u32, u32)> {
        let segment = &self.index.segments()[usize::from(page.segment())];
        let layout = segment.ids.layout;
        layout.read_page(page.number(), bytes, layout.pairs_on(page.number(), segment.count))
    }
}
