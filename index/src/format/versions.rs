//! The versions that an index's folder holds: the one in force, and older ones that were kept.
use std::collections::HashSet;

use spandrel_io::Store;

use super::OpenError;
use super::current::current;
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

/// The versions in a store, oldest first. Their sections are looked for, not read.
///
/// # Errors
/// [`OpenError::NotAnIndex`] where nothing is in force; [`OpenError`] when CURRENT or the folder cannot be read.
pub fn versions(store: &dyn Store) -> Result<Vec<Version>, OpenError> {
    let in_force = current(store)?.version;
    let names = store.list().map_err(|e| OpenError::store(store.root(), e))?;
    let mut numbers: Vec<u64> = names.iter().filter_map(|name| number_of(name)).collect();
    numbers.sort_unstable();
    let names: HashSet<String> = names.into_iter().collect();
    let version = |number| Version {
        number,
        in_force: number == in_force,
        manifest: Manifest::open_version(store, number).and_then(|manifest| {
            let gone = manifest.files().find(|&file| !names.contains(file)).map(|file| store.path(file));
            match gone {
                Some(path) => Err(OpenError::MissingFile { path }),
                None => Ok(manifest),
            }
        }),
    };
    Ok(numbers.into_iter().map(version).collect())
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
