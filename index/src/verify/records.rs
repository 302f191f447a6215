//! The section of vectors, record by record.
use std::path::{Path, PathBuf};

use super::error::VerifyError;
use super::ids::check_zeros;
use super::watch::Watch;
use crate::format::{BODY_AT, OpenError, PageLayout, Record, VectorsOf};
use crate::open::section::{PIECE_BYTES, SectionReader};
use crate::{Segment, StoredVectors};

/// Reads pages from front to back, checking each.
pub(super) struct Records {
    section: SectionReader<'static>,
    path: PathBuf,
    layout: PageLayout,
    uuid: u128,
    count: u64,
    /// Pages read together.
    buf: Vec<u8>,
    /// Number of the first page in `buf`, and how many there are.
    first_page: u64,
    pages: u64,
    /// Position of the next record.
    next: u64,
}

impl Records {
    pub(super) fn open(segment: &Segment, of: VectorsOf) -> Result<Records, OpenError> {
        let (vectors, section) = (segment.vectors(of), segment.read_vectors(of)?);
        let path = section.path().to_owned();
        Ok(Records {
            section,
            path,
            layout: vectors.layout,
            uuid: vectors.uuid,
            count: segment.records(of),
            buf: Vec::new(),
            first_page: 0,
            pages: 0,
            next: 0,
        })
    }

    /// The next record; there must be one.
    pub(super) fn next(&mut self, watch: &mut Watch<'_>) -> Result<Record<'_>, VerifyError> {
        let per_page = self.layout.page_records() as u64;
        let (page, slot) = (self.next / per_page, self.next % per_page);
        if page >= self.first_page + self.pages {
            self.read_pages(watch)?;
        }
        self.next += 1;
        let at = (page - self.first_page) as usize * self.layout.page_bytes(); // CAST: inside `buf`
        let bytes = self.buf.get(at..at + self.layout.page_bytes()).unwrap_or_default();
        Ok(self.layout.record(bytes, slot as usize)) // CAST: below the records of a page
    }

    fn read_pages(&mut self, watch: &mut Watch<'_>) -> Result<(), VerifyError> {
        let page_bytes = self.layout.page_bytes();
        let wanted = (PIECE_BYTES / page_bytes).max(1) as u64 * page_bytes as u64;
        let bytes = wanted.min(self.section.left());
        self.first_page += self.pages;
        self.pages = bytes / page_bytes as u64;
        self.buf.resize(bytes as usize, 0); // CAST: at most PIECE_BYTES or a page
        self.section.read(&mut self.buf)?;
        for (number, page) in (self.first_page..).zip(self.buf.chunks_exact(page_bytes)) {
            check_page(&self.path, &self.layout, self.uuid, number, page)?;
            let per_page = self.layout.page_records() as u64;
            let records = (self.count - number * per_page).min(per_page);
            let used = records as usize * self.layout.record_bytes(); // CAST: inside a page
            check_zeros(&self.path, page, used, format!("page {number}"))?;
        }
        watch.step(bytes)
    }

    /// After the last record.
    pub(super) fn finish(self) -> Result<(), OpenError> {
        self.section.finish()
    }
}

/// Reads the pages of vectors, mostly at ascending positions, each checked.
pub(super) struct PageReader<'a> {
    vectors: &'a StoredVectors,
    page: Vec<u8>,
    /// Number of the page in `page`.
    number: Option<u64>,
}

impl<'a> PageReader<'a> {
    pub(super) fn new(segment: &'a Segment, of: VectorsOf) -> PageReader<'a> {
        let vectors = segment.vectors(of);
        PageReader { vectors, page: vec![0; vectors.layout.page_bytes()], number: None }
    }

    /// The record at a position, which must be below the number of records.
    pub(super) fn record(&mut self, position: u32, watch: &mut Watch<'_>) -> Result<Record<'_>, VerifyError> {
        let StoredVectors { path, layout, uuid, blob, .. } = self.vectors;
        let (number, slot) = layout.place(position);
        if self.number != Some(number) {
            let offset = BODY_AT + number * self.page.len() as u64;
            blob.read_into(offset, &mut self.page).map_err(|e| OpenError::blob(path, e))?;
            check_page(path, layout, *uuid, number, &self.page)?;
            self.number = Some(number);
            watch.step(0)?;
        }
        Ok(layout.record(&self.page, slot))
    }
}

/// Checks a page's own sum.
fn check_page(
    path: &Path,
    layout: &PageLayout,
    uuid: u128,
    number: u64,
    page: &[u8],
) -> Result<(), OpenError> {
    layout.check_page(uuid, number, page).map_err(|(found, expected)| OpenError::Checksum {
        path: path.to_owned(),
        what: format!("page {number}"),
        found: format!("{found:08x}"),
        expected: format!("{expected:08x}"),
    })
}
