//! Vectors in the order of positions, written page by page.
use spandrel_index::format::{PageLayout, Record};
use spandrel_index::{DType, Metric, inverse_norm};
use spandrel_io::FileWriter;

use crate::BuildError;

/// What pages hold.
#[derive(Clone, Copy)]
pub(super) struct PagesOf {
    pub(super) layout: PageLayout,
    pub(super) metric: Metric,
    pub(super) dtype: DType,
    /// Seeds the checksums.
    pub(super) uuid: u128,
}

/// The body of a section of vectors while it is written.
pub(super) struct PageWriter {
    of: PagesOf,
    writer: FileWriter,
    page: Vec<u8>,
    /// Number of the page, and records in it.
    number: u64,
    slots: usize,
}

impl PageWriter {
    pub(super) fn new(of: PagesOf, writer: FileWriter) -> PageWriter {
        PageWriter { of, writer, page: Vec::new(), number: 0, slots: 0 }
    }

    /// Adds the vector at the next position.
    pub(super) fn push(&mut self, vector: &[u8], id: u64) -> Result<(), BuildError> {
        let PagesOf { layout, metric, dtype, .. } = self.of;
        let norm = (metric == Metric::Cosine).then(|| inverse_norm(dtype, vector));
        layout.write_record(Record { vector, id, inverse_norm: norm }, &mut self.page);
        self.slots += 1;
        if self.slots == layout.page_records() { self.finish_page() } else { Ok(()) }
    }

    /// Writes the page that was begun, if there is one: the file, which wants its header.
    pub(super) fn finish(mut self) -> Result<FileWriter, BuildError> {
        if self.slots > 0 {
            self.finish_page()?;
        }
        Ok(self.writer)
    }

    fn finish_page(&mut self) -> Result<(), BuildError> {
        self.of.layout.finish_page(self.of.uuid, self.number, &mut self.page);
        self.writer.append(&self.page)?;
        self.page.clear();
        self.slots = 0;
        self.number += 1;
        Ok(())
    }
}
