//! Which bytes to ask for: neighbouring lists become one request.
use spandrel_index::format::{BODY_AT, Directory, ListLayout, UNIT_BYTES};

use crate::reads::Extent;

/// Requests grow by merging up to this many bytes; a single list may be longer.
const MERGED_BYTES_MAX: u64 = 256 << 10;

/// The segment whose lists are searched.
pub(crate) const SEGMENT: u16 = 0;

/// One list to read.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct ListPlace {
    pub(crate) list: u32,
    pub(crate) primaries: u32,
    pub(crate) replicas: u32,
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
    pub(crate) fn of((distance, list): (f32, u32), directory: &Directory, layout: &ListLayout) -> ListPlace {
        let entry = directory.entry(list);
        ListPlace {
            list,
            primaries: entry.primaries,
            replicas: entry.replicas,
            accepted: entry.primaries.into(),
            distance,
            offset: BODY_AT + u64::from(entry.offset_units) * UNIT_BYTES as u64,
            bytes: layout.list_bytes(entry.primaries, entry.replicas) as u64,
            hash: entry.hash,
        }
    }

    /// Entries in it.
    pub(crate) fn count(&self) -> usize {
        self.primaries as usize + self.replicas as usize
    }

    /// Where it lies in the file of lists.
    pub(crate) fn extent(&self) -> Extent {
        Extent { offset: self.offset, bytes: self.bytes }
    }

    fn end(&self) -> u64 {
        self.offset + self.bytes
    }
}

/// One request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ListRead {
    pub(crate) offset: u64,
    pub(crate) bytes: u64,
    /// The lists in it: `first..end` of those planned for.
    pub(crate) first: usize,
    pub(crate) end: usize,
}

impl ListRead {
    /// What is read of the file of lists.
    pub(crate) fn extent(&self) -> Extent {
        Extent { offset: self.offset, bytes: self.bytes }
    }

    /// A request for one list alone.
    pub(crate) fn single(places: &[ListPlace], at: usize) -> ListRead {
        ListRead { offset: places[at].offset, bytes: places[at].bytes, first: at, end: at + 1 }
    }
}

/// The requests for lists in file order, across gaps of up to `gap_bytes`.
pub(crate) fn plan(places: &[ListPlace], gap_bytes: u64, mut out: impl FnMut(ListRead)) {
    let mut open: Option<ListRead> = None;
    for (at, place) in places.iter().enumerate() {
        if let Some(last) = &mut open {
            let merged = place.end() - last.offset;
            if place.offset - (last.offset + last.bytes) <= gap_bytes && merged <= MERGED_BYTES_MAX {
                last.bytes = merged;
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
        ListPlace { list, primaries: 1, replicas: 0, accepted: 1, distance: 0.0, offset, bytes, hash: 0 }
    }

    #[test]
    fn neighbours_merge_up_to_the_cap() {
        let big = MERGED_BYTES_MAX - 1024;
        let places = [
            place(0, 4096, 512),
            place(1, 4608, 1024),
            place(7, 8192, 512),
            place(8, 8704, big),
            place(9, 8704 + big, 1024),
            place(10, 8704 + big + 1024, 2 * MERGED_BYTES_MAX),
        ];
        let mut reads = Vec::new();
        plan(&places, 0, |read| reads.push(read));
        let mut wide = Vec::new();
        plan(&places[..3], 4096, |read| wide.push((read.offset, read.bytes, read.first, read.end)));
        assert_eq!(wide, [(4096, 4608, 0, 3)]);
        let cut: Vec<(u64, u64, usize, usize)> =
            reads.iter().map(|r| (r.offset, r.bytes, r.first, r.end)).collect();
        assert_eq!(
            cut,
            [
                (4096, 1536, 0, 2),
                (8192, 512 + big, 2, 4),
                (8704 + big, 1024, 4, 5),
                (8704 + big + 1024, 2 * MERGED_BYTES_MAX, 5, 6),
            ]
        );
    }
}
