//! Which pages to read: those near each other become one request.
use spandrel_index::format::{BODY_AT, PageLayout};

use crate::reads::Extent;

/// Pages are read together across gaps, up to this many bytes: a request costs more than a few pages.
const MERGED_BYTES_MAX: u64 = 16 << 10;

/// One request: pages `first_page..first_page + pages`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PageRead {
    pub(crate) first_page: u64,
    pub(crate) pages: u64,
    /// The positions in it: `first..end` of those planned for.
    pub(crate) first: usize,
    pub(crate) end: usize,
}

impl PageRead {
    /// What is read of the pages' file.
    pub(crate) fn extent(&self, page_bytes: usize) -> Extent {
        let one = page_extent(self.first_page, page_bytes);
        Extent { bytes: self.pages * one.bytes, ..one }
    }
}

/// Where one page lies in its file.
pub(crate) fn page_extent(page: u64, page_bytes: usize) -> Extent {
    let bytes = page_bytes as u64;
    Extent { offset: BODY_AT + page * bytes, bytes }
}

/// The requests for ascending positions.
pub(crate) fn plan_pages(positions: &[u32], layout: &PageLayout, out: impl FnMut(PageRead)) {
    merge_pages(positions.iter().map(|&position| layout.place(position).0), layout.page_bytes(), out);
}

/// The requests for ascending pages, each for one thing that is wanted.
pub(crate) fn merge_pages(
    wanted: impl Iterator<Item = u64>,
    page_bytes: usize,
    mut out: impl FnMut(PageRead),
) {
    let mut open: Option<PageRead> = None;
    for (at, page) in wanted.enumerate() {
        if let Some(last) = &mut open {
            let pages = page + 1 - last.first_page;
            if pages <= last.pages || pages * page_bytes as u64 <= MERGED_BYTES_MAX {
                last.pages = last.pages.max(pages);
                last.end = at + 1;
                continue;
            }
        }
        open.replace(PageRead { first_page: page, pages: 1, first: at, end: at + 1 }).map(&mut out);
    }
    open.map(out);
}

/// Points the requests, in file order, at the positions in them, which ascend; each lies in one of the requests.
pub(crate) fn assign<'a>(
    positions: &[u32],
    layout: &PageLayout,
    reads: impl Iterator<Item = &'a mut PageRead>,
) {
    let mut at = 0;
    for read in reads {
        read.first = at;
        let end_page = read.first_page + read.pages;
        at += positions[at..].partition_point(|&position| layout.place(position).0 < end_page);
        read.end = at;
    }
}

#[cfg(test)]
mod tests {
    use spandrel_index::Metric;
    use spandrel_index::format::IdBytes;

    use super::*;

    #[test]
    fn pages_near_each_other_are_read_together() {
        // 31 records a page of 4096 bytes.
        let layout = PageLayout::new(128, Metric::L2, IdBytes::Four);
        let positions = [0, 5, 30, 31, 3 * 31, 4 * 31, 40 * 31, 40 * 31 + 30, 44 * 31];
        let mut reads = Vec::new();
        plan_pages(&positions, &layout, |read| reads.push(read));
        let cut: Vec<(u64, u64, usize, usize)> =
            reads.iter().map(|r| (r.first_page, r.pages, r.first, r.end)).collect();
        assert_eq!(cut, [(0, 4, 0, 5), (4, 1, 5, 6), (40, 1, 6, 8), (44, 1, 8, 9)]);
        assert_eq!(reads[2].extent(4096).offset, BODY_AT + 40 * 4096);
        assert_eq!(reads[0].extent(4096).bytes, 4 * 4096);
    }
}
