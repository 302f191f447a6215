//! Lists and pages that had to be left out, remembered once each, and in the end not read any more.
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock};

/// Parts remembered at most, so that a dead disk does not fill the memory.
const REMEMBERED_MAX: usize = 1000;
/// Reads in a row that must fail before a part is not read any more: a few may have been faults of the way there.
const FAILURES: u32 = 8;

/// A part of an index that a search reads as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum DamagedPart {
    /// A list, by number.
    List(u32),
    /// A page of vectors, by number.
    Page(u64),
}

/// A list or page that could not be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The file.
    pub path: PathBuf,
    /// What it is.
    pub part: DamagedPart,
    /// Where it starts in the file.
    pub offset: u64,
    /// Its length.
    pub bytes: u64,
    /// What is wrong with it.
    pub reason: DamageReason,
}

/// What is wrong with a list or page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DamageReason {
    /// Its bytes are not those that were written.
    Hash {
        /// Hash of the bytes read.
        found: u64,
        /// Hash that was written.
        expected: u64,
    },
    /// The system could not read it.
    Read(String),
}

impl fmt::Display for DamagedPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DamagedPart::List(list) => write!(f, "list {list}"),
            DamagedPart::Page(page) => write!(f, "page {page}"),
        }
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Damage { path, part, offset, bytes, reason } = self;
        write!(f, "{}: {part} ({bytes} bytes at {offset}): ", path.display())?;
        match reason {
            DamageReason::Hash { found, expected } => {
                write!(f, "hash {found:016x}, expected {expected:016x}")
            }
            DamageReason::Read(why) => f.write_str(why),
        }
    }
}

/// What the workers of one engine have come across.
#[derive(Debug)]
pub(crate) struct DamageLog {
    lists: PathBuf,
    vectors: PathBuf,
    /// Parts, and how often in a row each failed last.
    parts: RwLock<BTreeMap<DamagedPart, (Damage, u32)>>,
    /// Whether any part ever failed, so that searches of whole indexes take no lock.
    any: AtomicBool,
}

impl DamageLog {
    pub(crate) fn new(lists: &Path, vectors: &Path) -> DamageLog {
        DamageLog {
            lists: lists.to_owned(),
            vectors: vectors.to_owned(),
            parts: RwLock::default(),
            any: AtomicBool::new(false),
        }
    }

    /// Remembers a part that failed, with what was wrong the first time.
    pub(crate) fn add(&self, part: DamagedPart, offset: u64, bytes: u64, reason: DamageReason) {
        let mut parts = self.parts.write().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, failures)) = parts.get_mut(&part) {
            *failures = failures.saturating_add(1);
        } else if parts.len() < REMEMBERED_MAX {
            let path = match part {
                DamagedPart::List(_) => &self.lists,
                DamagedPart::Page(_) => &self.vectors,
            };
            parts.insert(part, (Damage { path: path.clone(), part, offset, bytes, reason }, 1));
            self.any.store(true, Ordering::Release);
        }
    }

    /// Notes that a part was read and is whole.
    pub(crate) fn whole(&self, part: DamagedPart) {
        if self.failures(part) > 0 {
            let mut parts = self.parts.write().unwrap_or_else(PoisonError::into_inner);
            if let Some((_, failures)) = parts.get_mut(&part) {
                *failures = 0;
            }
        }
    }

    /// Whether a part failed so often that it is not read any more.
    pub(crate) fn is_quarantined(&self, part: DamagedPart) -> bool {
        self.failures(part) >= FAILURES
    }

    fn failures(&self, part: DamagedPart) -> u32 {
        if !self.any.load(Ordering::Acquire) {
            return 0;
        }
        let parts = self.parts.read().unwrap_or_else(PoisonError::into_inner);
        parts.get(&part).map_or(0, |(_, failures)| *failures)
    }

    /// Everything remembered, lists first, by number.
    pub(crate) fn all(&self) -> Vec<Damage> {
        let parts = self.parts.read().unwrap_or_else(PoisonError::into_inner);
        parts.values().map(|(damage, _)| damage.clone()).collect()
    }
}
