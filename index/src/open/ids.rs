//! The section of ids, page by page.
use std::path::Path;
use std::sync::Arc;

use spandrel_io::Blob;

use super::section::SectionReader;
use crate::format::{ID_PAGE_BYTES, IdPages, OpenError};

/// Reads pages from front to back, checking each.
pub(crate) struct IdReader<'a> {
    section: SectionReader<'a>,
    layout: IdPages,
    count: u64,
    next: u64,
    page: Vec<u8>,
}

/// A page and what it holds.
pub(crate) struct IdPage<'a> {
    pub(crate) number: u64,
    pub(crate) bytes: &'a [u8],
    /// Ids with their positions.
    pub(crate) pairs: Vec<(u64, u32)>,
}

impl<'a> IdReader<'a> {
    /// Of `count` pairs.
    pub(crate) fn new(section: SectionReader<'a>, layout: IdPages, count: u64) -> IdReader<'a> {
        IdReader { section, layout, count, next: 0, page: vec![0; ID_PAGE_BYTES] }
    }

    pub(crate) fn path(&self) -> &Path {
        self.section.path()
    }

    pub(crate) fn blob(&self) -> &Arc<dyn Blob> {
        self.section.blob()
    }

    /// The next page; none after the last.
    pub(crate) fn next(&mut self) -> Result<Option<IdPage<'_>>, OpenError> {
        let number = self.next;
        if number == self.layout.pages(self.count) {
            return Ok(None);
        }
        self.next += 1;
        self.section.read(&mut self.page)?;
        let pairs = id_pairs(self.section.path(), &self.layout, self.count, number, &self.page)?;
        Ok(Some(IdPage { number, bytes: &self.page, pairs }))
    }

    /// After the last page: the first ids of pages, as stored.
    pub(crate) fn tail(&mut self) -> Result<Vec<u8>, OpenError> {
        self.section.read_all()
    }

    /// After the tail: whether the section is, byte for byte, the one that was published.
    pub(crate) fn finish(self) -> Result<(), OpenError> {
        self.section.finish()
    }
}

/// The pairs of one page of `count` in all, if its checksum holds.
pub(crate) fn id_pairs(
    path: &Path,
    layout: &IdPages,
    count: u64,
    number: u64,
    page: &[u8],
) -> Result<Vec<(u64, u32)>, OpenError> {
    let per_page = layout.page_entries();
    let before = number * per_page as u64;
    let entries = (count - before).min(per_page as u64) as usize; // CAST: at most a page's
    layout.read_page(number, page, entries).map_err(|(found, expected)| OpenError::Checksum {
        path: path.to_owned(),
        what: format!("ids page {number}"),
        found: format!("{found:08x}"),
        expected: format!("{expected:08x}"),
    })
}
