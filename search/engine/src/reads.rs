//! What is asked of the disk, and whose read it is.
use spandrel_index::format::VectorsOf;
use spandrel_io::Read;

use crate::explain::ReadPart;

/// What queries read of each segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FileKind {
    Lists,
    Vectors,
    /// Vectors of the column.
    Column,
    Ids,
}

impl FileKind {
    /// In the order of their numbers.
    pub(crate) const ALL: [FileKind; 4] =
        [FileKind::Lists, FileKind::Vectors, FileKind::Column, FileKind::Ids];

    /// The file of these vectors.
    pub(crate) fn of(vectors: VectorsOf) -> FileKind {
        match vectors {
            VectorsOf::Main => FileKind::Vectors,
            VectorsOf::Column => FileKind::Column,
        }
    }

    /// Number of this file of a segment among the files of its index.
    pub(crate) fn number(self, segment: u16) -> u32 {
        FileKind::ALL.len() as u32 * u32::from(segment) + self as u32 // CAST: below `ALL.len()` times 2^16
    }
}

/// Part of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Extent {
    /// The file's number among those of the index.
    pub(crate) file: u32,
    pub(crate) offset: u64,
    pub(crate) bytes: u64,
}

impl Extent {
    /// What queries read there.
    pub(crate) fn part(self) -> ReadPart {
        let is_list = self.file % FileKind::ALL.len() as u32 == FileKind::Lists as u32; // CAST: a few kinds
        if is_list { ReadPart::Lists } else { ReadPart::Vectors }
    }
}

/// Where the reads of one slot of a worker go before they are submitted together.
pub(crate) struct Outbox<'a> {
    pub(crate) slot: u32,
    /// Slots of the index's files in the worker's reader, by number; none of vectors that it does not hold.
    pub(crate) files: &'a [Option<u32>],
    pub(crate) reads: &'a mut Vec<Read>,
}

impl Outbox<'_> {
    /// Adds a read, told apart by `number` from others of the slot.
    pub(crate) fn push(&mut self, extent: Extent, number: usize) -> Read {
        // What is too long for one read is refused by the reader, and counts as damaged.
        let bytes = u32::try_from(extent.bytes).unwrap_or(u32::MAX);
        let tag = u64::from(self.slot) << 32 | number as u64;
        let Some(file) = self.files[extent.file as usize] else {
            unreachable!("vectors that are not held are not asked for")
        };
        let read = Read { file, offset: extent.offset, bytes, tag };
        self.reads.push(read);
        read
    }
}

/// The slot whose read a tag belongs to.
pub(crate) fn slot_of(tag: u64) -> u32 {
    (tag >> 32) as u32 // CAST: the upper half
}

/// The number of the read that a tag belongs to.
pub(crate) fn number_of(tag: u64) -> usize {
    (tag & u64::from(u32::MAX)) as usize // CAST: masked to 32 bits
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

    #[test]
    fn every_file_has_a_number() {
        let numbers: Vec<u32> =
            (0..3).flat_map(|segment| FileKind::ALL.map(|kind| kind.number(segment))).collect();
        assert_eq!(numbers, (0..12).collect::<Vec<u32>>());
    }

    #[test]
    fn tags_tell_reads_apart() {
        let mut reads = Vec::new();
        let extent = Extent { file: 1, offset: 512, bytes: u64::MAX };
        let read = Outbox { slot: 7, files: &[Some(3), Some(5)], reads: &mut reads }.push(extent, 9);
        assert_eq!((slot_of(read.tag), number_of(read.tag), read.file, read.bytes), (7, 9, 5, u32::MAX));
        assert_eq!(reads, [read]);
    }
}
