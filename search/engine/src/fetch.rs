//! Which bytes to ask for: neighbouring lists become one request.
//!
//! Reading across gaps of up to 8 KiB between lists saved 6 % of the requests and cost 4 % more bytes on SIFT
//! vectors in lists of 8 KB: not worth it.
use spandrel_index::format::{BODY_AT, Directory, FullLayout, UNIT_BYTES};

/// Requests grow by merging up to this many bytes; a single list may be longer.
const MERGED_BYTES_MAX: u64 = 256 << 10;

/// One list to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ListPlace {
    pub(crate) list: u32,
    /// Entries in it.
    pub(crate) count: usize,
    /// Where it starts in the file.
    pub(crate) offset: u64,
    pub(crate) bytes: u64,
    pub(crate) hash: u64,
}

impl ListPlace {
    pub(crate) fn of(list: u32, directory: &Directory, layout: &FullLayout) -> ListPlace {
        let entry = directory.entry(list);
        let count = entry.count();
        ListPlace {
            list,
            count,
            offset: BODY_AT + u64::from(entry.offset_units) * UNIT_BYTES as u64,
            bytes: layout.list_bytes(count) as u64,
            hash: entry.hash,
        }
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
    /// A request for one list alone.
    pub(crate) fn single(places: &[ListPlace], at: usize) -> ListRead {
        ListRead { offset: places[at].offset, bytes: places[at].bytes, first: at, end: at + 1 }
    }

    /// 4 KiB pages of the file it touches.
    pub(crate) fn pages(&self) -> u64 {
        (self.offset + self.bytes).div_ceil(4096) - self.offset / 4096
    }
}

/// Appends the requests for lists in file order.
pub(crate) fn plan(places: &[ListPlace], out: &mut Vec<ListRead>) {
    for (at, place) in places.iter().enumerate() {
        if let Some(last) = out.last_mut() {
            let merged = place.end() - last.offset;
            if place.offset == last.offset + last.bytes && merged <= MERGED_BYTES_MAX {
                last.bytes = merged;
                last.end = at + 1;
                continue;
            }
        }
        out.push(ListRead::single(places, at));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(list: u32, offset: u64, bytes: u64) -> ListPlace {
        ListPlace { list, count: 1, offset, bytes, hash: 0 }
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
        plan(&places, &mut reads);
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

    #[test]
    fn pages_are_those_touched() {
        let read = |offset, bytes| ListRead { offset, bytes, first: 0, end: 1 };
        assert_eq!(read(4096, 4096).pages(), 1);
        assert_eq!(read(4096 + 512, 4096).pages(), 2);
        assert_eq!(read(8191, 2).pages(), 2);
    }
}
