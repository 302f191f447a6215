//! Lists and pages that had to be left out, remembered once each.
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Parts remembered at most, so that a dead disk does not fill the memory.
const REMEMBERED_MAX: usize = 1000;

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
    parts: Mutex<BTreeMap<DamagedPart, Damage>>,
}

impl DamageLog {
    pub(crate) fn new(lists: &Path, vectors: &Path) -> DamageLog {
        DamageLog { lists: lists.to_owned(), vectors: vectors.to_owned(), parts: Mutex::default() }
    }

    /// Remembers a part, the first time that it is met.
    pub(crate) fn add(&self, part: DamagedPart, offset: u64, bytes: u64, reason: DamageReason) {
        let mut parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        if parts.len() < REMEMBERED_MAX {
            let path = match part {
                DamagedPart::List(_) => &self.lists,
                DamagedPart::Page(_) => &self.vectors,
            };
            parts.entry(part).or_insert_with(|| Damage { path: path.clone(), part, offset, bytes, reason });
        }
    }

    /// Everything remembered, lists first, by number.
    pub(crate) fn all(&self) -> Vec<Damage> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }
}
