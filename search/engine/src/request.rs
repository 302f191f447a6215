//! What a query asks the disk for.
use spandrel_index::format::PageLayout;
use spandrel_io::Read;

use crate::fetch::ListRead;
use crate::rerank::PageRead;

/// Slots of an index's files in a worker's reader.
pub(crate) const LISTS_FILE: u32 = 0;
pub(crate) const VECTORS_FILE: u32 = 1;
pub(crate) const IDS_FILE: u32 = 2;

/// One request.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Request {
    /// Lists lying next to each other.
    Lists(ListRead),
    /// Pages of vectors near each other.
    Pages(PageRead),
}

impl Request {
    /// The pages it asks for, if it does.
    pub(crate) fn pages(&self) -> Option<&PageRead> {
        match self {
            Request::Lists(_) => None,
            Request::Pages(pages) => Some(pages),
        }
    }

    /// As [`Request::pages`].
    pub(crate) fn pages_mut(&mut self) -> Option<&mut PageRead> {
        match self {
            Request::Lists(_) => None,
            Request::Pages(pages) => Some(pages),
        }
    }

    /// As the reader takes it.
    pub(crate) fn read(&self, layout: &PageLayout, tag: u64) -> Read {
        let (file, offset, bytes) = match self {
            Request::Lists(lists) => (LISTS_FILE, lists.offset, lists.bytes),
            Request::Pages(pages) => (VECTORS_FILE, pages.offset(layout), pages.bytes(layout)),
        };
        // What is too long for one read is refused by the reader, and counts as damaged.
        Read { file, offset, bytes: u32::try_from(bytes).unwrap_or(u32::MAX), tag }
    }
}

/// 4 KiB pages of its file that a read touches.
pub(crate) fn pages_touched(read: &Read) -> u32 {
    let pages = (read.offset + u64::from(read.bytes)).div_ceil(4096) - read.offset / 4096;
    pages as u32 // CAST: a read is shorter than 2^32 bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_those_touched() {
        let touched = |offset, bytes| pages_touched(&Read { file: 0, offset, bytes, tag: 0 });
        assert_eq!(touched(4096, 4096), 1);
        assert_eq!(touched(4096 + 512, 4096), 2);
        assert_eq!(touched(8191, 2), 2);
    }
}
