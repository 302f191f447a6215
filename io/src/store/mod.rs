//! Where the files of an index are: named blobs that are written once and then only read.
#![deny(clippy::indexing_slicing)]

mod blob;
mod error;
mod folder;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use blob::{Blob, Merging};
pub use error::StoreError;
pub use folder::FolderStore;

use crate::{FileWriter, WriteError};

/// Blobs by name. A folder of the file system is one: [`FolderStore`].
///
/// A change of names (a finished blob, a removal) survives a crash for certain only after [`Store::sync`];
/// before, it may or may not. [`Store::publish`] and [`Store::replace`] sync by themselves.
pub trait Store: fmt::Debug + Send + Sync {
    /// What messages call the store itself.
    fn root(&self) -> &Path;

    /// What messages call the blob of a name.
    fn path(&self, name: &str) -> PathBuf {
        self.root().join(name)
    }

    /// Opens a blob. It can be read while it is open, also after its name was removed or replaced.
    ///
    /// # Errors
    /// [`StoreError::Missing`]; [`StoreError::Open`].
    fn open(&self, name: &str) -> Result<Arc<dyn Blob>, StoreError>;

    /// Starts a blob, which has its name once it is finished.
    ///
    /// # Errors
    /// [`WriteError`].
    fn create(&self, name: &str) -> Result<FileWriter, WriteError>;

    /// Makes all changes of names so far survive a crash.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    fn sync(&self) -> Result<(), StoreError>;

    /// Removes a blob.
    ///
    /// # Errors
    /// [`StoreError::Missing`] when there is none.
    fn remove(&self, name: &str) -> Result<(), StoreError>;

    /// The names of all blobs, sorted.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    fn list(&self) -> Result<Vec<String>, StoreError>;

    /// Puts `bytes` under a name that nothing has; the same bytes may be there already. Survives a crash whole or not
    /// at all, and for certain once this returns.
    ///
    /// # Errors
    /// [`WriteError::Taken`] when other bytes have the name.
    fn publish(&self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        let mut writer = self.create(name)?;
        writer.append(bytes)?;
        match writer.finish_new() {
            Err(WriteError::Taken { .. }) if self.holds(name, bytes)? => {}
            other => drop(other?),
        }
        self.sync()
    }

    /// Makes `name` hold `bytes` in one atomic switch: after a crash at any point it holds them or what it held
    /// before. Returns once the switch itself survives a crash.
    ///
    /// What the bytes refer to is to be finished, and [`Store::sync`] called, before.
    ///
    /// # Errors
    /// [`StoreError`]; `name` then holds the old or the new bytes.
    fn replace(&self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        let mut writer = self.create(name)?;
        writer.append(bytes)?;
        writer.finish()?;
        self.sync()
    }

    /// All bytes of a blob of at most `bytes_max` bytes.
    ///
    /// # Errors
    /// [`StoreError::Missing`], [`StoreError::TooLong`].
    fn read(&self, name: &str, bytes_max: u64) -> Result<Vec<u8>, StoreError> {
        let blob = self.open(name)?;
        let bytes = blob.len();
        if bytes > bytes_max {
            return Err(StoreError::TooLong { path: self.path(name), bytes, bytes_max });
        }
        let mut content = vec![0; bytes as usize]; // CAST: usize is 64 bits
        blob.read_into(0, &mut content)?;
        Ok(content)
    }

    /// Whether the blob of a name holds just these bytes.
    ///
    /// # Errors
    /// As [`Store::open`].
    fn holds(&self, name: &str, bytes: &[u8]) -> Result<bool, StoreError> {
        match self.read(name, bytes.len() as u64) {
            Err(StoreError::TooLong { .. }) => Ok(false),
            read => Ok(read? == bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::ErrorKind;
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::faults::CrashStore;
    use crate::{Direct, OpenError};

    fn exercise(store: &dyn Store) {
        store.replace("CURRENT", b"one").unwrap();
        store.replace("CURRENT", b"two").unwrap();
        store.publish("other", b"x").unwrap();
        store.publish("other", b"x").unwrap();
        for taken in [b"y".as_slice(), b"", b"xx"] {
            let refused = store.publish("other", taken);
            assert!(matches!(refused, Err(StoreError::Write(WriteError::Taken { .. }))), "{refused:?}");
        }
        assert_eq!(store.list().unwrap(), ["CURRENT", "other"]);
        assert_eq!(store.read("CURRENT", 3).unwrap(), b"two");
        assert!(matches!(store.read("CURRENT", 2), Err(StoreError::TooLong { bytes: 3, .. })));
        let mut writer = store.create("section").unwrap().with_head(4).unwrap();
        writer.append(b"body").unwrap();
        assert!(matches!(store.open("section"), Err(StoreError::Missing { .. })));
        writer.finish_with_head(b"head").unwrap();
        let blob = store.open("section").unwrap();
        let mut middle = [0; 4];
        blob.read_into(2, &mut middle).unwrap();
        assert_eq!((&middle, blob.len()), (b"adbo", 8));
        assert!(blob.read_into(5, &mut middle).unwrap_err().to_string().contains("section"));
        assert!(blob.read_into(u64::MAX, &mut middle).is_err());
        drop(store.create("section").unwrap());
        for gone in ["section", "other"] {
            store.remove(gone).unwrap();
            assert!(matches!(store.remove(gone), Err(StoreError::Missing { .. })));
            assert!(matches!(store.read(gone, 9), Err(StoreError::Missing { .. })));
        }
        blob.read_into(0, &mut middle).unwrap();
        assert_eq!(&middle, b"head", "an open blob outlives its name");
        assert_eq!(store.list().unwrap(), ["CURRENT"]);
    }

    #[test]
    fn a_folder_and_its_simulation_behave_alike() {
        let dir = tempfile::tempdir().unwrap();
        exercise(&FolderStore::new(dir.path()));
        exercise(&CrashStore::new());
        let nowhere = FolderStore::new(Path::new("/no/such/folder"));
        assert!(nowhere.list().is_err() && nowhere.create("x").is_err() && nowhere.sync().is_err());
        assert!(matches!(nowhere.open("x"), Err(StoreError::Missing { .. })));
    }

    #[test]
    fn a_folder_beneath_a_root_is_reached_without_links_and_stays_itself() {
        let root = tempfile::tempdir().unwrap();
        let path = |name: &str| root.path().join(name);
        let outside = tempfile::tempdir().unwrap();
        fs::create_dir_all(path("a/live")).unwrap();
        let beneath = |path: &Path| FolderStore::beneath(root.path(), path);
        let store = beneath(&path("a/live")).unwrap();
        exercise(&store);
        assert_eq!(store.root(), path("a/live"));
        exercise(&beneath(root.path()).unwrap());

        // Another folder takes its place.
        fs::rename(path("a"), path("b")).unwrap();
        symlink(outside.path(), path("a")).unwrap();
        fs::create_dir(outside.path().join("live")).unwrap();
        fs::write(outside.path().join("live/CURRENT"), "outside").unwrap();
        assert_eq!(store.read("CURRENT", 100).unwrap(), b"two");
        store.publish("new", b"x").unwrap();
        assert_eq!(fs::read_dir(outside.path().join("live")).unwrap().count(), 1);
        assert_eq!(fs::read(path("b/live/new")).unwrap(), b"x");
        let refused = [
            (path("a/live"), ErrorKind::NotADirectory),
            (path("b/live/CURRENT"), ErrorKind::NotADirectory),
            (path("b/none"), ErrorKind::NotFound),
            (path("b/../a"), ErrorKind::InvalidInput),
            (outside.path().to_owned(), ErrorKind::InvalidInput),
        ];
        for (path, kind) in refused {
            assert_eq!(beneath(&path).unwrap_err().kind(), kind, "{}", path.display());
        }

        // Neither links nor pipes are files of it.
        symlink(outside.path().join("live/CURRENT"), path("b/live/link")).unwrap();
        let made = std::process::Command::new("mkfifo").arg(path("b/live/pipe")).status().unwrap();
        assert!(made.success());
        for name in ["link", "pipe"] {
            let refused = store.open(name).unwrap_err();
            assert!(matches!(refused, StoreError::Open(OpenError::NotAFile { .. })), "{refused:?}");
            assert!(refused.to_string().contains(path("a/live").to_str().unwrap()), "{refused}");
        }
        fs::write(outside.path().join("kept"), "kept").unwrap();
        symlink(outside.path().join("kept"), path("b/live/new.partial")).unwrap();
        assert!(store.replace("new", b"y").is_err());
        assert_eq!(fs::read(outside.path().join("kept")).unwrap(), b"kept");
    }

    #[test]
    fn a_blob_gives_its_file_to_readers_after_its_name_went() {
        let dir = tempfile::tempdir().unwrap();
        let store = FolderStore::new(dir.path());
        store.publish("codes-1", &[7; 5000]).unwrap();
        let blob = store.open("codes-1").unwrap();
        store.remove("codes-1").unwrap();
        for direct in [Direct::Auto, Direct::Off] {
            let file = blob.for_queries(direct).unwrap();
            assert_eq!(file.len(), 5000);
            assert_eq!(file.path(), store.path("codes-1"));
            assert_eq!(file.read_at(4990, 10).unwrap()[..], [7; 10]);
        }
    }

    #[test]
    fn a_crash_at_any_sync_leaves_the_old_or_the_new_content() {
        let whole = CrashStore::new();
        whole.replace("CURRENT", b"old").unwrap();
        let before = whole.syncs();
        whole.replace("CURRENT", b"new").unwrap();
        let after = whole.syncs();
        assert_eq!(after - before, 2);
        let mut seen = Vec::new();
        for stop in before..=after {
            let store = CrashStore::stopping_after(stop);
            store.replace("CURRENT", b"old").unwrap();
            store.replace("CURRENT", b"new").unwrap();
            for image in store.images() {
                let content = image.read("CURRENT", 100).unwrap();
                assert!(content == b"old" || content == b"new", "after {stop} syncs: {content:?}");
                seen.push(content);
            }
        }
        assert!(seen.contains(&b"old".to_vec()) && seen.contains(&b"new".to_vec()));
        assert_eq!(seen.last().unwrap(), b"new");
    }

    #[test]
    fn the_simulation_catches_a_name_given_to_bytes_that_were_not_synced() {
        let store = CrashStore::new();
        store.replace("CURRENT", b"old").unwrap();
        store.write_unsynced("CURRENT", b"new");
        let contents: Vec<_> = store.images().map(|image| image.read("CURRENT", 100).unwrap()).into();
        assert!(contents.contains(&Vec::new()), "{contents:?}");
    }
}
