//! Lists that had to be left out, remembered once each.
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Lists remembered at most, so that a dead disk does not fill the memory.
const REMEMBERED_MAX: usize = 1000;

/// A list that could not be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The file.
    pub path: PathBuf,
    /// Number of the list.
    pub list: u32,
    /// Where it starts in the file.
    pub offset: u64,
    /// Its length.
    pub bytes: u64,
    /// What is wrong with it.
    pub reason: DamageReason,
}

/// What is wrong with a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DamageReason {
    /// Its bytes are not those that were written.
    Hash {
        /// Hash of the bytes read.
        found: u64,
        /// Hash in the directory.
        expected: u64,
    },
    /// The system could not read it.
    Read(String),
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Damage { path, list, offset, bytes, reason } = self;
        write!(f, "{}: list {list} ({bytes} bytes at {offset}): ", path.display())?;
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
    path: PathBuf,
    lists: Mutex<BTreeMap<u32, Damage>>,
}

impl DamageLog {
    pub(crate) fn new(path: &Path) -> DamageLog {
        DamageLog { path: path.to_owned(), lists: Mutex::default() }
    }

    /// Remembers a list, the first time that it is met.
    pub(crate) fn add(&self, list: u32, offset: u64, bytes: u64, reason: DamageReason) {
        let mut lists = self.lists.lock().unwrap_or_else(PoisonError::into_inner);
        if lists.len() < REMEMBERED_MAX {
            lists.entry(list).or_insert_with(|| Damage {
                path: self.path.clone(),
                list,
                offset,
                bytes,
                reason,
            });
        }
    }

    /// Everything remembered, by list.
    pub(crate) fn all(&self) -> Vec<Damage> {
        self.lists.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }
}
