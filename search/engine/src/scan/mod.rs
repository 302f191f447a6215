//! The scan of lists: of exact vectors, or of codes. What is found goes to a collector.
mod coded;
mod contract;
mod full;
mod masked;
mod segment;

use spandrel_index::Index;
use spandrel_index::format::ListLayout;

use coded::CodedScan;
use full::FullScan;

pub(crate) use contract::{QueryRow, ReadList, Scan, Sink, check};

/// What scans the lists of an index.
pub(crate) fn scan_of(index: &Index) -> Box<dyn Scan> {
    match index.list_layout() {
        ListLayout::Full(layout) => Box::new(FullScan::new(index, layout)),
        ListLayout::Coded(layout) => Box::new(CodedScan::new(layout)),
    }
}
