//! The versions that an index's folder holds: the one in force, and older ones that were kept.
use std::collections::HashSet;
use std::io::ErrorKind;

use spandrel_io::{FolderLock, Store, StoreError};

use super::OpenError;
use super::current::{CURRENT, Current, read};
use super::manifest::Manifest;
use super::names::manifest_name;

/// A version of an index whose manifest is there.
#[derive(Debug)]
#[non_exhaustive]
pub struct Version {
    /// N of `manifest-N`.
    pub number: u64,
    /// Whether it is what [`Index::open`](crate::Index::open) opens.
    pub in_force: bool,
    /// What it says of itself, or why it cannot be opened: it is damaged, or a file of it is gone.
    pub manifest: Result<Manifest, OpenError>,
}

/// Reads which version of the index in a store is in force.
///
/// # Errors
/// [`OpenError::NoFolder`] where there is no folder, [`OpenError::NotAnIndex`] without the file, [`OpenError::NoCurrent`] where a version is there all the same, [`OpenError::Field`] when
/// it was damaged.
pub fn current(store: &dyn Store) -> Result<Current, OpenError> {
    if let Some(current) = read(store, CURRENT)? {
        return Ok(current);
    }
    let path = store.root().to_owned();
    let names = match store.list() {
        Ok(names) => names,
        Err(StoreError::Io { source, .. })
            if matches!(source.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) =>
        {
            return Err(OpenError::NoFolder { path, is_file: source.kind() == ErrorKind::NotADirectory });
        }
        Err(_) => Vec::new(),
    };
    if let Some(version) = newest_whole(store, &names) {
        return Err(OpenError::NoCurrent { path, version });
    }
    let begun = names.iter().any(|name| name == FolderLock::NAME);
    Err(OpenError::NotAnIndex { path, begun })
}

/// The versions in a store, oldest first. Their sections are looked for, not read. None of them is in force where `CURRENT` is missing.
///
/// # Errors
/// [`OpenError::NotAnIndex`] where there is none; [`OpenError`] when CURRENT or the folder cannot be read.
pub fn versions(store: &dyn Store) -> Result<Vec<Version>, OpenError> {
    let in_force = match current(store) {
        Ok(current) => Some(current.version),
        Err(OpenError::NoCurrent { .. }) => None,
        Err(error) => return Err(error),
    };
    let names = store.list().map_err(|e| OpenError::store(store.root(), e))?;
    let there: HashSet<&str> = names.iter().map(String::as_str).collect();
    let version = |number| Version {
        number,
        in_force: Some(number) == in_force,
        manifest: whole(store, number, &there),
    };
    Ok(numbers(&names).into_iter().map(version).collect())
}

/// The newest version in a store of which every file is among these names.
fn newest_whole(store: &dyn Store, names: &[String]) -> Option<u64> {
    let there: HashSet<&str> = names.iter().map(String::as_str).collect();
    numbers(names).into_iter().rev().find(|&number| whole(store, number, &there).is_ok())
}

/// The versions whose manifests are among these names, ascending.
fn numbers(names: &[String]) -> Vec<u64> {
    let mut numbers: Vec<u64> = names.iter().filter_map(|name| number_of(name)).collect();
    numbers.sort_unstable();
    numbers
}

/// The manifest of a version, of which every file is there.
fn whole(store: &dyn Store, number: u64, there: &HashSet<&str>) -> Result<Manifest, OpenError> {
    let manifest = Manifest::open_version(store, number)?;
    let gone = manifest.files().find(|&file| !there.contains(file)).map(|file| store.path(file));
    match gone {
        Some(path) => Err(OpenError::MissingFile { path }),
        None => Ok(manifest),
    }
}

/// The version of which a file name is that of the manifest.
fn number_of(name: &str) -> Option<u64> {
    let number = name.strip_prefix("manifest-")?.parse().ok()?;
    (manifest_name(number) == name).then_some(number)
}

#[cfg(test)]
mod tests {
    use spandrel_io::FolderStore;

    use super::*;
    use crate::testing::TestIndex;
    use crate::{DType, Index, Metric, OpenOptions};

    #[test]
    fn versions_beside_the_one_in_force_are_listed_and_opened_by_number() {
        let dir = tempfile::tempdir().unwrap();
        let store = FolderStore::new(dir.path());
        assert!(matches!(versions(&store), Err(OpenError::NotAnIndex { .. })));
        for version in [2, 10, 9] {
            let mut made = TestIndex::random(Metric::L2, DType::U8, 8, 50 + version as usize);
            made.version = version;
            made.write(dir.path());
        }
        std::fs::write(dir.path().join("manifest-011"), "not ours").unwrap();
        let found = versions(&store).unwrap();
        let found: Vec<_> = found.iter().map(|v| (v.number, v.in_force, v.manifest.is_ok())).collect();
        assert_eq!(found, [(2, false, true), (9, true, true), (10, false, true)]);
        let stop = std::sync::atomic::AtomicBool::new(false);
        let open = |version| Index::open_version(dir.path(), version, OpenOptions::default(), &stop);
        assert_eq!(open(2).unwrap().vectors(), 52);
        assert_eq!(open(10).unwrap().vectors(), 60);
        let refused = open(3).unwrap_err();
        assert!(refused.to_string().ends_with("no version 3 here; there are 2, 9, 10"), "{refused}");
        // Neither damage nor loss of one hides the others.
        std::fs::remove_file(dir.path().join("codes-2")).unwrap();
        let mut bytes = std::fs::read(dir.path().join("manifest-10")).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        std::fs::write(dir.path().join("manifest-10"), bytes).unwrap();
        let found = versions(&store).unwrap();
        assert!(found[0].manifest.as_ref().unwrap_err().to_string().contains("codes-2"));
        assert!(matches!(found[2].manifest, Err(OpenError::Checksum { .. })));
        assert!(open(2).is_err() && open(10).is_err() && open(9).is_ok());
    }
}
