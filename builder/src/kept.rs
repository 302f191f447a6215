//! Which versions stay in an index's folder, and the removal of the others.
use std::collections::HashSet;
use std::io::ErrorKind;

use spandrel_index::format::{
    ColumnEntry, Manifest, OpenError, SectionKind, approved, attribute_name, column_name, manifest_name,
    section_name, versions,
};
use spandrel_io::{Store, StoreError};

use crate::BuildError;

/// The version in force, the one that was approved, and up to `previous` others that are whole, or cannot be read now: first
/// `before`, which was in force until now, then the newest.
pub(crate) fn kept(store: &dyn Store, before: u64, previous: u32) -> Result<Vec<u64>, BuildError> {
    let (mut kept, mut others) = (Vec::new(), Vec::new());
    let approved = approved(store)?.map(|approved| approved.version);
    for version in versions(store)? {
        match version.in_force || approved == Some(version.number) {
            true => kept.push(version.number),
            false if version.manifest.as_ref().is_err_and(|error| !may_pass(error)) => {}
            false => others.push(version.number),
        }
    }
    others.sort_unstable_by_key(|&number| (number != before, std::cmp::Reverse(number)));
    kept.extend(others.into_iter().take(previous as usize));
    Ok(kept)
}

/// Removes the files of versions that are not kept, but for files that a kept version shares.
///
/// Manifests go first, durably, so that a version whose manifest is there is whole. While a kept version cannot be read,
/// nobody knows which files it shares, and none is removed.
pub(crate) fn remove_others(store: &dyn Store, kept: &[u64]) -> Result<(), BuildError> {
    let mut shared = HashSet::new();
    for &version in kept {
        match Manifest::open_version(store, version) {
            Ok(manifest) => shared.extend(manifest.files().map(str::to_owned)),
            Err(error) if may_pass(&error) => return Ok(()),
            Err(_) => {}
        }
    }
    let given_up = |name: &String| {
        version_of(name).is_some_and(|version| !kept.contains(&version)) && !shared.contains(name)
    };
    let (manifests, others): (Vec<_>, Vec<_>) =
        store.list()?.into_iter().filter(given_up).partition(|name| name.starts_with("manifest-"));
    if !manifests.is_empty() {
        manifests.iter().try_for_each(|name| remove(store, name))?;
        store.sync()?;
    }
    others.iter().try_for_each(|name| remove(store, name))
}

/// Whether what could not be opened may open later: it was not read, and says nothing of itself.
fn may_pass(error: &OpenError) -> bool {
    matches!(error, OpenError::Read { source, .. } if source.kind() != ErrorKind::NotFound)
}

/// The newest version that left a file in the folder, in force or not.
pub(crate) fn newest(store: &dyn Store) -> Result<u64, BuildError> {
    Ok(store.list()?.iter().filter_map(|name| version_of(name)).max().unwrap_or(0))
}

/// Removes the files of one version.
pub(crate) fn remove_version(store: &dyn Store, version: u64) -> Result<(), BuildError> {
    store
        .list()?
        .iter()
        .filter(|name| version_of(name) == Some(version))
        .try_for_each(|name| remove(store, name))
}

fn remove(store: &dyn Store, name: &str) -> Result<(), BuildError> {
    match store.remove(name) {
        Ok(()) | Err(StoreError::Missing { .. }) => Ok(()),
        Err(e) => Err(e.into()),
    }
}

/// Name of the statistics of a version.
pub(crate) fn stats_name(version: u64) -> String {
    format!("build-stats-{version}.json")
}

/// The version a file name carries, if it is the name of one of our versioned files, finished or not.
pub(crate) fn version_of(name: &str) -> Option<u64> {
    let name = name.strip_suffix(".partial").unwrap_or(name);
    let (stem, version) = name.rsplit_once('-')?;
    let version: u64 = version.strip_suffix(".json").unwrap_or(version).parse().ok()?;
    let sections = SectionKind::ALL.iter().map(|&kind| section_name(kind, version));
    let attribute = stem.rsplit_once('.').and_then(|(_, number)| number.parse().ok());
    let attribute = attribute.map(|attribute| attribute_name(attribute, version));
    let column = stem.rsplit_once('.').filter(|(_, name)| ColumnEntry::is_name(name));
    let column = column.map(|(_, name)| column_name(name, version));
    let others = [manifest_name(version), stats_name(version)].into_iter().chain(attribute).chain(column);
    (!stem.is_empty() && sections.chain(others).any(|known| known == name)).then_some(version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_told_from_names() {
        assert_eq!(version_of("heads-3"), Some(3));
        assert_eq!(version_of("codes-12.partial"), Some(12));
        assert_eq!(version_of("build-stats-1.json"), Some(1));
        assert_eq!(version_of("manifest-1"), Some(1));
        assert_eq!(version_of("attributes.12-3.partial"), Some(3));
        assert_eq!(version_of("vectors.fine-3.partial"), Some(3));
        // What a crash amid publication leaves.
        assert_eq!(version_of("manifest-1.partial"), Some(1));
        assert_eq!(version_of("build-stats-7.json.partial"), Some(7));
        for name in [
            "CURRENT",
            "LOCK",
            "notes-1",
            "attributes.01-3",
            "heads.1-3",
            "vectors.1-3",
            "codes.fine-3",
            "attributes.-3",
            "heads-x",
            "heads-01",
            "-1",
        ] {
            assert_eq!(version_of(name), None, "{name}");
        }
    }
}
