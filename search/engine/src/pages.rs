//! Which pages to read: those near each other become one request.
use spandrel_index::Location;
use spandrel_index::format::{BODY_AT, PageLayout};
use spandrel_io::Merging;

use crate::reads::{Extent, FileKind};

/// A page of a segment. Pages of two segments are too far apart to be read together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PageKey(u64);

impl PageKey {
    /// Page `number` of a segment, far below 2^48.
    pub(crate) fn new(segment: u16, number: u64) -> PageKey {
        PageKey(u64::from(segment) << 48 | number)
    }

    /// The page of vectors on which a vector lies.
    pub(crate) fn of(location: Location, layout: &PageLayout) -> PageKey {
        PageKey::new(location.segment(), layout.place(location.position()).0)
    }

    pub(crate) fn segment(self) -> u16 {
        (self.0 >> 48) as u16 // CAST: the upper quarter
    }

    /// Its number in the segment.
    pub(crate) fn number(self) -> u64 {
        self.0 & (u64::MAX >> 16)
    }

    /// Both as one number.
    pub(crate) fn bits(self) -> u64 {
        self.0
    }

    /// How many pages it comes after another of its segment, or a number beyond all pages.
    pub(crate) fn after(self, first: PageKey) -> u64 {
        self.0 - first.0
    }

    /// Where it lies in the file of a kind.
    pub(crate) fn extent(self, kind: FileKind, page_bytes: usize) -> Extent {
        let bytes = page_bytes as u64;
        Extent { file: kind.number(self.segment()), offset: BODY_AT + self.number() * bytes, bytes }
    }
}

/// One request: `pages` pages from `first_page` on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PageRead {
    pub(crate) first_page: PageKey,
    pub(crate) pages: u64,
    /// The locations in it: `first..end` of those planned for.
    pub(crate) first: usize,
    pub(crate) end: usize,
}

impl PageRead {
    /// What is read of the file of a kind.
    pub(crate) fn extent(&self, kind: FileKind, page_bytes: usize) -> Extent {
        let one = self.first_page.extent(kind, page_bytes);
        Extent { bytes: self.pages * one.bytes, ..one }
    }

    /// Whether a page is one of these.
    pub(crate) fn holds(&self, page: PageKey) -> bool {
        page >= self.first_page && page.after(self.first_page) < self.pages
    }
}

/// The requests for ascending locations.
pub(crate) fn plan_pages(
    locations: &[Location],
    layout: &PageLayout,
    merging: Merging,
    out: impl FnMut(PageRead),
) {
    merge_pages(locations.iter().map(|&at| PageKey::of(at, layout)), layout.page_bytes(), merging, out);
}

/// The requests for ascending pages, each for one thing that is wanted.
pub(crate) fn merge_pages(
    wanted: impl Iterator<Item = PageKey>,
    page_bytes: usize,
    merging: Merging,
    mut out: impl FnMut(PageRead),
) {
    let mut open: Option<PageRead> = None;
    for (at, page) in wanted.enumerate() {
        if let Some(last) = &mut open {
            let pages = page.after(last.first_page) + 1;
            if pages <= last.pages || pages.saturating_mul(page_bytes as u64) <= merging.scattered_bytes_max {
                last.pages = last.pages.max(pages);
                last.end = at + 1;
                continue;
            }
        }
        open.replace(PageRead { first_page: page, pages: 1, first: at, end: at + 1 }).map(&mut out);
    }
    open.map(out);
}

/// Points the requests, in file order, at the locations in them, which ascend; each lies in one of the requests.
pub(crate) fn assign<'a>(
    locations: &[Location],
    layout: &PageLayout,
    reads: impl Iterator<Item = &'a mut PageRead>,
) {
    let mut at = 0;
    for read in reads {
        read.first = at;
        at += locations[at..].partition_point(|&location| read.holds(PageKey::of(location, layout)));
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
        let mut locations: Vec<Location> = positions.iter().map(|&at| Location::new(0, at)).collect();
        // Of another segment, however near their numbers are.
        locations.extend([45 * 31, 45 * 31 + 1].map(|at| Location::new(1, at)));
        locations.push(Location::new(u16::MAX, 0));
        let mut reads = Vec::new();
        plan_pages(&locations, &layout, Merging::SSD, |read| reads.push(read));
        let cut: Vec<(u16, u64, u64, usize, usize)> = reads
            .iter()
            .map(|r| (r.first_page.segment(), r.first_page.number(), r.pages, r.first, r.end))
            .collect();
        let expected = [
            (0, 0, 4, 0, 5),
            (0, 4, 1, 5, 6),
            (0, 40, 1, 6, 8),
            (0, 44, 1, 8, 9),
            (1, 45, 1, 9, 11),
            (u16::MAX, 0, 1, 11, 12),
        ];
        assert_eq!(cut, expected);
        let extent = reads[4].extent(FileKind::Vectors, 4096);
        assert_eq!((extent.file, extent.offset), (FileKind::Vectors.number(1), BODY_AT + 45 * 4096));
        assert_eq!(reads[0].extent(FileKind::Vectors, 4096).bytes, 4 * 4096);
        let mut again = reads.clone();
        again.iter_mut().for_each(|read| (read.first, read.end) = (0, 0));
        assign(&locations, &layout, again.iter_mut());
        assert_eq!(again, reads);
    }
}
