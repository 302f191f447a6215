//! Which bytes to ask for: neighbouring lists become one request.
use std::cmp::Ordering;

use spandrel_index::Segment;
use spandrel_index::format::{BODY_AT, UNIT_BYTES};
use spandrel_io::Merging;

use crate::reads::{Extent, FileKind};

/// A list and how far its head is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct NearList {
    /// Squared distance from the query to its head.
    pub(crate) distance: f32,
    pub(crate) segment: u16,
    /// Its number in the segment.
    pub(crate) list: u32,
}

impl NearList {
    /// The nearer first.
    pub(crate) fn order(a: &NearList, b: &NearList) -> Ordering {
        let key = |near: &NearList| (near.segment, near.list);
        a.distance.total_cmp(&b.distance).then(key(a).cmp(&key(b)))
    }
}

/// One list to read.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct ListPlace {
    pub(crate) segment: u16,
    /// Its number in the segment.
    pub(crate) list: u32,
    pub(crate) primaries: u32,
    pub(crate) replicas: u32,
    /// Entries that are scanned, the first: all, or the primaries alone.
    pub(crate) scanned: u32,
    /// Vectors of it, copies not counted, that may be answers.
    pub(crate) accepted: u64,
    /// Squared distance from the query to its head.
    pub(crate) distance: f32,
    /// Where it starts in the file.
    pub(crate) offset: u64,
    pub(crate) bytes: u64,
    pub(crate) hash: u64,
}

impl ListPlace {
    /// List `near.list` of `segment`.
    pub(crate) fn of(near: NearList, segment: &Segment) -> ListPlace {
        let entry = segment.directory.entry(near.list);
        ListPlace {
            segment: near.segment,
            list: near.list,
            primaries: entry.primaries,
            replicas: entry.replicas,
            scanned: entry.primaries + entry.replicas,
            accepted: entry.primaries.into(),
            distance: near.distance,
            offset: BODY_AT + u64::from(entry.offset_units) * UNIT_BYTES as u64,
            bytes: segment.codes.layout.list_bytes(entry.primaries, entry.replicas) as u64,
            hash: entry.hash,
        }
    }

    /// What tells it from all other lists; ascends as lists lie in files.
    pub(crate) fn key(&self) -> (u16, u32) {
        (self.segment, self.list)
    }

    /// Entries in it.
    pub(crate) fn count(&self) -> usize {
        self.primaries as usize + self.replicas as usize
    }

    /// Where it lies.
    pub(crate) fn extent(&self) -> Extent {
        Extent { file: FileKind::Lists.number(self.segment), offset: self.offset, bytes: self.bytes }
    }

    fn end(&self) -> u64 {
        self.offset + self.bytes
    }
}

/// One request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ListRead {
    pub(crate) extent: Extent,
    /// The lists in it: `first..end` of those planned for.
    pub(crate) first: usize,
    pub(crate) end: usize,
}

impl ListRead {
    /// A request for one list alone.
    pub(crate) fn single(places: &[ListPlace], at: usize) -> ListRead {
        ListRead { extent: places[at].extent(), first: at, end: at + 1 }
    }
}

/// The requests for lists in file order, merged as far as it pays.
pub(crate) fn plan(places: &[ListPlace], merging: Merging, mut out: impl FnMut(ListRead)) {
    let mut open: Option<ListRead> = None;
    for (at, place) in places.iter().enumerate() {
        if let Some(last) = &mut open {
            let Extent { file, offset, bytes } = &mut last.extent;
            let is_near =
                *file == place.extent().file && place.offset - (*offset + *bytes) <= merging.gap_bytes;
            if is_near && place.end() - *offset <= merging.merged_bytes_max {
                *bytes = place.end() - *offset;
                last.end = at + 1;
                continue;
            }
        }
        open.replace(ListRead::single(places, at)).map(&mut out);
    }
    open.map(out);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(list: u32, offset: u64, bytes: u64) -> ListPlace {
        ListPlace {
            segment: 0,
            list,
            primaries: 1,
            replicas: 0,
            scanned: 1,
            accepted: 1,
            distance: 0.0,
            offset,
            bytes,
            hash: 0,
        }
    }

    #[test]
    fn neighbours_merge_up_to_the_cap() {
        let merged = Merging::SSD.merged_bytes_max;
        let big = merged - 1024;
        let mut places = vec![
            place(0, 4096, 512),
            place(1, 4608, 1024),
            place(7, 8192, 512),
            place(8, 8704, big),
            place(9, 8704 + big, 1024),
            place(10, 8704 + big + 1024, 2 * merged),
        ];
        // Of another segment, whose file is another.
        places.push(ListPlace { segment: 1, ..place(11, 8704 + big + 1024, 512) });
        let mut reads = Vec::new();
        plan(&places, Merging { gap_bytes: 0, ..Merging::SSD }, |read| reads.push(read));
        let mut wide = Vec::new();
        plan(&places[..3], Merging { gap_bytes: 4096, ..Merging::SSD }, |read| {
            wide.push((read.extent.offset, read.extent.bytes, read.first, read.end))
        });
        assert_eq!(wide, [(4096, 4608, 0, 3)]);
        let cut: Vec<(u64, u64, usize, usize)> =
            reads.iter().map(|r| (r.extent.offset, r.extent.bytes, r.first, r.end)).collect();
        assert_eq!(
            cut,
            [
                (4096, 1536, 0, 2),
                (8192, 512 + big, 2, 4),
                (8704 + big, 1024, 4, 5),
                (8704 + big + 1024, 2 * merged, 5, 6),
                (8704 + big + 1024, 512, 6, 7),
            ]
        );
        assert_eq!(reads[4].extent.file, FileKind::Lists.number(1));
    }
}
