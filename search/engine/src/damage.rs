//! Lists, pages and blocks that had to be left out, remembered until they are read whole, and in the end not read any more.
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock};

use spandrel_index::format::VectorsOf;

use crate::reads::Extent;

/// Parts remembered at most, so that a dead disk does not fill the memory.
const REMEMBERED_MAX: usize = 1000;
/// Reads in a row that must fail before a part is not read any more: a few may have been faults of the way there.
const FAILURES: u32 = 8;

/// A part of an index that is read as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum DamagedPart {
    /// A list, by its number in the segment.
    List(u32),
    /// A page of vectors, by number.
    Page(u64),
    /// A page of vectors of the column, by number.
    ColumnPage(u64),
    /// A page of ids, by number.
    IdPage(u64),
    /// A block of an attribute's values, by the attribute's number.
    Block {
        /// Number of the attribute.
        attribute: u16,
        /// Number of the block; none of the positions without a number.
        block: Option<u32>,
    },
}

/// A list, page or block that could not be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// File of the index that holds the part.
    pub path: PathBuf,
    /// Number of the segment that it belongs to.
    pub segment: u16,
    /// Which list, page or block of the file.
    pub part: DamagedPart,
    /// Where it starts in the file.
    pub offset: u64,
    /// Bytes of the part.
    pub bytes: u64,
    /// What is wrong with it.
    pub reason: DamageReason,
}

/// What is wrong with a list, page or block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DamageReason {
    /// Its bytes are not those that were written.
    Hash {
        /// Hash of the bytes read.
        found: u64,
        /// Hash that was written.
        expected: u64,
    },
    /// A replica in the list is said to be at a position that there is not.
    Position {
        /// Position that the replica names.
        position: u32,
        /// Vectors in the segment.
        vectors: u64,
    },
    /// The system could not read it.
    Read(String),
}

impl DamagedPart {
    /// A page of the vectors that are searched, or of those of the column.
    pub(crate) fn page(of: VectorsOf, number: u64) -> DamagedPart {
        match of {
            VectorsOf::Main => DamagedPart::Page(number),
            VectorsOf::Column => DamagedPart::ColumnPage(number),
        }
    }
}

impl fmt::Display for DamagedPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DamagedPart::List(list) => write!(f, "list {list}"),
            DamagedPart::Page(page) => write!(f, "page {page}"),
            DamagedPart::ColumnPage(page) => write!(f, "page {page} of the column"),
            DamagedPart::IdPage(page) => write!(f, "page {page} of ids"),
            DamagedPart::Block { block: Some(block), .. } => write!(f, "block {block} of values"),
            DamagedPart::Block { block: None, .. } => f.write_str("positions without a number"),
        }
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Damage { path, part, offset, bytes, reason, .. } = self;
        write!(f, "{}: {part} ({bytes} bytes at {offset}): ", path.display())?;
        match reason {
            DamageReason::Hash { found, expected } => {
                write!(f, "hash {found:016x}, expected {expected:016x}")
            }
            DamageReason::Position { position, vectors } => {
                write!(f, "a replica of the vector at position {position}, expected below {vectors}")
            }
            DamageReason::Read(why) => f.write_str(why),
        }
    }
}

/// Words of the filter of failing parts.
const FILTER_WORDS: usize = 64;

/// A part of a segment.
type Key = (u16, DamagedPart);

/// The parts whose last read failed.
#[derive(Debug)]
pub(crate) struct DamageLog {
    /// Files in the order of their slots.
    paths: Vec<PathBuf>,
    /// Parts by segment, and how often in a row each failed last.
    parts: RwLock<BTreeMap<Key, (Damage, u32)>>,
    /// A bit for each hash of a part; those of `parts` are set. Searches take the lock only where a bit is set.
    filter: [AtomicU64; FILTER_WORDS],
}

impl DamageLog {
    /// Of files in the order of their slots.
    pub(crate) fn new(paths: Vec<PathBuf>) -> DamageLog {
        DamageLog { paths, parts: RwLock::default(), filter: [const { AtomicU64::new(0) }; FILTER_WORDS] }
    }

    /// Remembers a part of a segment that failed, with what was wrong the first time.
    pub(crate) fn add(&self, segment: u16, part: DamagedPart, extent: Extent, reason: DamageReason) {
        let mut parts = self.parts.write().unwrap_or_else(PoisonError::into_inner);
        let key = (segment, part);
        if let Some((_, failures)) = parts.get_mut(&key) {
            *failures = failures.saturating_add(1);
        } else if parts.len() < REMEMBERED_MAX {
            let Extent { file, offset, bytes } = extent;
            let path = self.paths[file as usize].clone();
            parts.insert(key, (Damage { path, segment, part, offset, bytes, reason }, 1));
            let (word, bit) = place(key);
            self.filter[word].fetch_or(bit, Ordering::Release);
        }
    }

    /// Notes that a part was read and is whole: what was wrong with it is forgotten.
    pub(crate) fn whole(&self, segment: u16, part: DamagedPart) {
        let key = (segment, part);
        if self.failures(key) == 0 {
            return;
        }
        let mut parts = self.parts.write().unwrap_or_else(PoisonError::into_inner);
        parts.remove(&key);
        let mut filter = [0; FILTER_WORDS];
        for (word, bit) in parts.keys().map(|&key| place(key)) {
            filter[word] |= bit;
        }
        for (shared, word) in self.filter.iter().zip(filter) {
            shared.store(word, Ordering::Release);
        }
    }

    /// Whether a part failed so often that it is not read any more.
    pub(crate) fn is_quarantined(&self, segment: u16, part: DamagedPart) -> bool {
        self.failures((segment, part)) >= FAILURES
    }

    fn failures(&self, key: Key) -> u32 {
        let (word, bit) = place(key);
        if self.filter[word].load(Ordering::Acquire) & bit == 0 {
            return 0;
        }
        let parts = self.parts.read().unwrap_or_else(PoisonError::into_inner);
        parts.get(&key).map_or(0, |(_, failures)| *failures)
    }

    /// Parts remembered.
    pub(crate) fn count(&self) -> usize {
        self.parts.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Everything remembered: of each segment lists first, by number.
    pub(crate) fn all(&self) -> Vec<Damage> {
        let parts = self.parts.read().unwrap_or_else(PoisonError::into_inner);
        parts.values().map(|(damage, _)| damage.clone()).collect()
    }
}

/// Word and bit of a part in the filter.
fn place(key: Key) -> (usize, u64) {
    let (segment, part) = key;
    let number = match part {
        DamagedPart::List(list) => u64::from(list) << 2,
        DamagedPart::Page(page) => page << 2 | 1,
        // With the segment in the upper bits no page of vectors has such a number.
        DamagedPart::ColumnPage(page) => page << 2 | 1 | 1 << 47,
        DamagedPart::IdPage(page) => page << 2 | 2,
        DamagedPart::Block { attribute, block } => {
            // Numbers of blocks are far below the largest.
            (u64::from(attribute) << 32 | u64::from(block.unwrap_or(u32::MAX))) << 2 | 3
        }
    };
    let number = number | u64::from(segment) << 48;
    // The upper bits of a product with an odd constant depend on all bits of the number.
    let hash = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    ((hash >> 58) as usize, 1 << (hash >> 52 & 63)) // CAST: below `FILTER_WORDS`
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_that_healed_leaves_nothing_behind() {
        let log = DamageLog::new(["codes-1", "vectors-1", "ids-1"].map(PathBuf::from).into());
        let parts = || (0..200).map(DamagedPart::List).chain((0..200).map(DamagedPart::Page));
        let fail = |part| {
            log.add(0, part, Extent { file: 0, offset: 0, bytes: 512 }, DamageReason::Read("an error".into()))
        };
        let set = || log.filter.iter().map(|word| word.load(Ordering::Acquire).count_ones()).sum::<u32>();
        parts().for_each(fail);
        assert_eq!(log.all().len(), 400);
        assert!(set() > 300, "hashes are spread out");
        (1..FAILURES).for_each(|_| fail(DamagedPart::Page(7)));
        assert!(log.is_quarantined(0, DamagedPart::Page(7)) && !log.is_quarantined(0, DamagedPart::List(7)));
        parts().filter(|&part| part != DamagedPart::Page(7)).for_each(|part| log.whole(0, part));
        assert_eq!((log.all().len(), set()), (1, 1));
        assert!(log.is_quarantined(0, DamagedPart::Page(7)));
        assert!(!log.is_quarantined(1, DamagedPart::Page(7)), "the page of another segment");
        // One failure after another, with a good read in between, is no row of failures.
        log.whole(0, DamagedPart::Page(7));
        for _ in 0..2 * FAILURES {
            fail(DamagedPart::List(3));
            log.whole(0, DamagedPart::List(3));
        }
        assert!(!log.is_quarantined(0, DamagedPart::List(3)));
        assert_eq!((log.all().len(), set()), (0, 0), "searches take no lock any more");
    }
}
