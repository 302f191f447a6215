//! The version that a server starts with, once somebody has approved one: a build that publishes another does not move it.
//!
//! ```text
//! APPROVED = "manifest-N HASH\n"       as CURRENT; there once a version was approved
//! ```
use spandrel_io::{Store, StoreError};

use super::OpenError;
use super::current::{CURRENT, Current, read};
use super::manifest::MANIFEST_BYTES_MAX;
use super::names::manifest_name;

/// Name of the file that names the manifest which was approved.
pub const APPROVED: &str = "APPROVED";

/// Reads which version of the index in a store was approved, if one was.
///
/// # Errors
/// [`OpenError::Field`] when the file was damaged.
pub fn approved(store: &dyn Store) -> Result<Option<Current>, OpenError> {
    read(store, APPROVED)
}

/// Approves a version: [`Index::open_approved_from`](crate::Index::open_approved_from) opens it until another is approved.
/// Survives a crash once this returns.
///
/// # Errors
/// [`StoreError`]; the version approved is then the one before or this one.
pub fn approve(store: &dyn Store, version: u64) -> Result<(), StoreError> {
    store.replace(APPROVED, &entry(store, version)?)
}

/// Puts a version in force that is in the store already, in one atomic switch. Where a version was approved, this one is from
/// then on.
///
/// # Errors
/// [`StoreError`]; the version in force is then the one before or this one.
pub fn put_in_force(store: &dyn Store, version: u64) -> Result<(), StoreError> {
    let entry = entry(store, version)?;
    match store.open(APPROVED) {
        Ok(_) => store.replace(APPROVED, &entry)?,
        Err(StoreError::Missing { .. }) => {}
        Err(e) => return Err(e),
    }
    store.replace(CURRENT, &entry)
}

fn entry(store: &dyn Store, version: u64) -> Result<Vec<u8>, StoreError> {
    let manifest = store.read(&manifest_name(version), MANIFEST_BYTES_MAX)?;
    Ok(Current::of(version, &manifest).to_bytes())
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::atomic::AtomicBool;

    use spandrel_io::FolderStore;

    use super::*;
    use crate::format::current;
    use crate::testing::TestIndex;
    use crate::{DType, Index, Metric, OpenOptions};

    fn write(dir: &Path, version: u64, vectors: usize) {
        let mut made = TestIndex::random(Metric::L2, DType::U8, 8, vectors);
        made.version = version;
        made.write(dir);
    }

    fn opened(store: &FolderStore) -> Result<u64, OpenError> {
        let stop = AtomicBool::new(false);
        let opened = Index::open_approved_from(store, OpenOptions::default(), &stop);
        opened.map(|index| index.manifest().version)
    }

    #[test]
    fn what_was_approved_is_opened_whatever_is_in_force() {
        let dir = tempfile::tempdir().unwrap();
        let store = FolderStore::new(dir.path());
        (1..=3).for_each(|version| write(dir.path(), version, 50 + version as usize));
        assert_eq!((opened(&store).unwrap(), approved(&store).unwrap()), (3, None));
        // Without an approval, what is in force is served.
        put_in_force(&store, 2).unwrap();
        assert_eq!((opened(&store).unwrap(), approved(&store).unwrap()), (2, None));
        approve(&store, 1).unwrap();
        write(dir.path(), 4, 54);
        assert_eq!((opened(&store).unwrap(), current(&store).unwrap().version), (1, 4));
        put_in_force(&store, 2).unwrap();
        assert_eq!((opened(&store).unwrap(), current(&store).unwrap().version), (2, 2));
        assert!(matches!(approve(&store, 9), Err(StoreError::Missing { .. })));
        assert!(matches!(put_in_force(&store, 9), Err(StoreError::Missing { .. })));
        assert_eq!((opened(&store).unwrap(), current(&store).unwrap().version), (2, 2));
    }

    #[test]
    fn nothing_else_is_opened_where_what_was_approved_is_gone_or_another() {
        let dir = tempfile::tempdir().unwrap();
        let store = FolderStore::new(dir.path());
        write(dir.path(), 1, 51);
        write(dir.path(), 2, 52);
        approve(&store, 1).unwrap();
        let refused = |told: &str| {
            let error = opened(&store).unwrap_err();
            let OpenError::Approved { version: 1, source, .. } = &error else { panic!("{error}") };
            assert!(
                error.to_string().contains("spandrel switch") && source.to_string().contains(told),
                "{source}"
            );
        };
        // Another of the same number.
        write(dir.path(), 1, 40);
        refused("manifest: hash");
        approve(&store, 1).unwrap();
        std::fs::remove_file(dir.path().join("vectors-1")).unwrap();
        refused("vectors-1");
        std::fs::remove_file(dir.path().join("manifest-1")).unwrap();
        refused("manifest-1");
        std::fs::write(dir.path().join(APPROVED), "manifest-2").unwrap();
        let error = opened(&store).unwrap_err();
        assert!(matches!(error, OpenError::Field { .. }) && error.to_string().contains(APPROVED), "{error}");
        // A damaged one is mended by the next.
        put_in_force(&store, 2).unwrap();
        assert_eq!(opened(&store).unwrap(), 2);
    }
}
