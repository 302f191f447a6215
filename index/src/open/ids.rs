//! The section of ids, page by page.
use std::path::Path;
use std::sync::Arc;

use spandrel_io::Blob;

use super::section::SectionReader;
use crate::format::{BODY_AT, ID_PAGE_BYTES, IdPages, OpenError};

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
fn id_pairs(
    path: &Path,
    layout: &IdPages,
    count: u64,
    number: u64,
    page: &[u8],
) -> Result<Vec<(u64, u32)>, OpenError> {
    layout.read_page(number, page, layout.pairs_on(number, count)).map_err(|(found, expected)| {
        OpenError::Checksum {
            path: path.to_owned(),
            what: format!("ids page {number}"),
            found: format!("{found:08x}"),
            expected: format!("{expected:08x}"),
        }
    })
}

/// Pages that are read at once where most of them are needed.
const PAGES_TOGETHER: u64 = 64;

/// Finds positions of ids in the section of a segment, blocking.
#[derive(Debug)]
pub struct IdFinder {
    blob: Arc<dyn Blob>,
    layout: IdPages,
    count: u64,
    /// First id of each page.
    firsts: Vec<u64>,
}

impl IdFinder {
    /// Over a section of `count` pairs; reads and checks the first id of each page.
    ///
    /// # Errors
    /// [`OpenError`] when they cannot be read or are damaged.
    pub fn open(blob: Arc<dyn Blob>, layout: IdPages, count: u64) -> Result<IdFinder, OpenError> {
        let pages = layout.pages(count);
        let mut tail = vec![0; pages as usize * 8 + 8]; // CAST: usize is 64 bits
        let at = BODY_AT + pages * ID_PAGE_BYTES as u64;
        blob.read_into(at, &mut tail).map_err(|e| OpenError::blob(blob.path(), e))?;
        let Some((first_ids, stored)) = tail.split_last_chunk::<8>() else { unreachable!("8 bytes or more") };
        let (found, expected) = (layout.tail_hash(first_ids), u64::from_le_bytes(*stored));
        if found != expected {
            return Err(OpenError::Checksum {
                path: blob.path().to_owned(),
                what: "first ids of the pages".into(),
                found: format!("{found:016x}"),
                expected: format!("{expected:016x}"),
            });
        }
        let firsts = first_ids.as_chunks::<8>().0.iter().map(|&id| u64::from_le_bytes(id)).collect();
        Ok(IdFinder::of(blob, layout, count, firsts))
    }

    /// Over a section whose pages begin with `firsts`.
    pub(crate) fn of(blob: Arc<dyn Blob>, layout: IdPages, count: u64, firsts: Vec<u64>) -> IdFinder {
        IdFinder { blob, layout, count, firsts }
    }

    /// The page that an id is on if it is there.
    pub fn page_of(&self, id: u64) -> Option<u64> {
        let page = self.firsts.partition_point(|&first| first <= id).checked_sub(1)?;
        Some(page as u64) // CAST: widening
    }

    /// Hands the position of each id, in the order given, to `take`; none of an id that is not there. `ids` ascend.
    /// `between` is called before each read.
    ///
    /// # Errors
    /// [`OpenError`] when pages cannot be read or are damaged; the error of `between` or `take`.
    pub fn find<E: From<OpenError>>(
        &self,
        ids: &[u64],
        mut between: impl FnMut() -> Result<(), E>,
        mut take: impl FnMut(u64, Option<u32>) -> Result<(), E>,
    ) -> Result<(), E> {
        let together = if ids.len() as u64 > self.firsts.len() as u64 / 4 { PAGES_TOGETHER } else { 1 };
        let (mut bytes, mut read) = (Vec::new(), 0..0);
        let (mut pairs, mut of_page) = (Vec::new(), None);
        for &id in ids {
            let Some(page) = self.page_of(id) else {
                take(id, None)?;
                continue;
            };
            if of_page != Some(page) {
                if !read.contains(&page) {
                    between()?;
                    read = page..(page + together).min(self.firsts.len() as u64);
                    bytes.resize((read.end - read.start) as usize * ID_PAGE_BYTES, 0); // CAST: a few pages
                    let at = BODY_AT + page * ID_PAGE_BYTES as u64;
                    let failed = |e| OpenError::blob(self.blob.path(), e);
                    self.blob.read_into(at, &mut bytes).map_err(failed)?;
                }
                let at = (page - read.start) as usize; // CAST: usize is 64 bits
                let page_bytes = bytes.chunks_exact(ID_PAGE_BYTES).nth(at).unwrap_or_default();
                pairs = id_pairs(self.blob.path(), &self.layout, self.count, page, page_bytes)?;
                of_page = Some(page);
            }
            let found = pairs.binary_search_by_key(&id, |&(id, _)| id).ok().and_then(|at| pairs.get(at));
            let position = found.map(|&(_, position)| position);
            if let Some(beyond) = position.filter(|&position| u64::from(position) >= self.count) {
                let (field, expected) =
                    (format!("position of id {id}"), format!("a position below {}", self.count));
                return Err(OpenError::field(self.blob.path(), field, beyond, expected).into());
            }
            take(id, position)?;
        }
        Ok(())
    }
}
