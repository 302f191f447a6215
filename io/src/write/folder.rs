//! Publication by one atomic switch, over a trait so that tests can crash between its steps.
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use super::{FileWriter, WriteError};

/// Why an operation on a folder failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FolderError {
    /// No file of that name.
    #[error("{path}: no such file")]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// Larger than the caller is willing to hold.
    #[error("{path}: {bytes} bytes, at most {bytes_max} expected")]
    TooLong {
        /// The file.
        path: PathBuf,
        /// Its length.
        bytes: u64,
        /// The limit.
        bytes_max: u64,
    },
    /// A file could not be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// Any other failure.
    #[error("{path}: cannot {action}")]
    Io {
        /// What was tried, such as "rename".
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// The few operations that publication needs, on the small files of one folder.
///
/// A change of names (new file, rename, removal) survives a crash for certain only after [`Folder::sync`];
/// before, it may or may not.
pub trait Folder {
    /// Writes a file from front to end and syncs its bytes; replaces what had the name.
    ///
    /// # Errors
    /// [`FolderError::Write`].
    fn write_new(&self, name: &str, bytes: &[u8]) -> Result<(), FolderError>;

    /// Gives a file another name in one step, replacing what had it.
    ///
    /// # Errors
    /// [`FolderError`].
    fn rename(&self, from: &str, to: &str) -> Result<(), FolderError>;

    /// Makes all changes of names so far survive a crash.
    ///
    /// # Errors
    /// [`FolderError::Io`].
    fn sync(&self) -> Result<(), FolderError>;

    /// Removes a file.
    ///
    /// # Errors
    /// [`FolderError::Missing`] when there is none.
    fn remove(&self, name: &str) -> Result<(), FolderError>;

    /// The names of all files, sorted.
    ///
    /// # Errors
    /// [`FolderError::Io`].
    fn list(&self) -> Result<Vec<String>, FolderError>;

    /// The bytes of a file of at most `bytes_max` bytes.
    ///
    /// # Errors
    /// [`FolderError::Missing`], [`FolderError::TooLong`].
    fn read(&self, name: &str, bytes_max: u64) -> Result<Vec<u8>, FolderError>;
}

/// Makes `name` hold `bytes` in one atomic switch: after a crash at any point it holds them or what it held
/// before. Returns once the switch itself survives a crash.
///
/// Files that the new bytes refer to are to be finished before; the final sync of the folder covers their
/// names, so call [`Folder::sync`] before publishing what points to them.
///
/// # Errors
/// [`FolderError`]; `name` then holds the old or the new bytes.
pub fn publish(folder: &(impl Folder + ?Sized), name: &str, bytes: &[u8]) -> Result<(), FolderError> {
    let temporary = format!("{name}.new");
    folder.write_new(&temporary, bytes)?;
    folder.rename(&temporary, name)?;
    folder.sync()
}

/// A folder of the file system.
#[derive(Debug, Clone)]
pub struct RealFolder {
    path: PathBuf,
}

impl RealFolder {
    /// The folder at `path`, which has to exist when it is used.
    pub fn new(path: &Path) -> RealFolder {
        RealFolder { path: path.to_owned() }
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn failed(&self, action: &'static str, name: &str, source: io::Error) -> FolderError {
        let path = if name.is_empty() { self.path.clone() } else { self.path.join(name) };
        match source.kind() {
            io::ErrorKind::NotFound if !name.is_empty() => FolderError::Missing { path },
            _ => FolderError::Io { action, path, source },
        }
    }
}

impl Folder for RealFolder {
    fn write_new(&self, name: &str, bytes: &[u8]) -> Result<(), FolderError> {
        let mut writer = FileWriter::create(&self.path.join(name))?;
        writer.append(bytes)?;
        writer.finish()?;
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), FolderError> {
        std::fs::rename(self.path.join(from), self.path.join(to))
            .map_err(|source| self.failed("be renamed", from, source))
    }

    fn sync(&self) -> Result<(), FolderError> {
        sync_folder(&self.path).map_err(|source| self.failed("be synced", "", source))
    }

    fn remove(&self, name: &str) -> Result<(), FolderError> {
        std::fs::remove_file(self.path.join(name)).map_err(|source| self.failed("be removed", name, source))
    }

    fn list(&self) -> Result<Vec<String>, FolderError> {
        let failed = |source| self.failed("be listed", "", source);
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.path).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            if entry.file_type().map_err(failed)?.is_file() {
                names.push(entry.file_name().to_string_lossy().into_owned());
            }
        }
        names.sort();
        Ok(names)
    }

    fn read(&self, name: &str, bytes_max: u64) -> Result<Vec<u8>, FolderError> {
        let failed = |source| self.failed("be read", name, source);
        let file = File::open(self.path.join(name)).map_err(failed)?;
        let bytes = file.metadata().map_err(failed)?.len();
        if bytes > bytes_max {
            return Err(FolderError::TooLong { path: self.path.join(name), bytes, bytes_max });
        }
        let mut content = Vec::new();
        file.take(bytes_max).read_to_end(&mut content).map_err(failed)?;
        Ok(content)
    }
}

/// Makes the names in a folder survive a crash.
///
/// # Errors
/// When the folder cannot be opened or synced; the error names it.
pub fn sync_folder(path: &Path) -> io::Result<()> {
    fs_err::File::open(path)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faults::CrashFolder;

    fn exercise(folder: &impl Folder) {
        publish(folder, "CURRENT", b"one").unwrap();
        publish(folder, "CURRENT", b"two").unwrap();
        folder.write_new("other", b"x").unwrap();
        assert_eq!(folder.list().unwrap(), ["CURRENT", "other"]);
        assert_eq!(folder.read("CURRENT", 3).unwrap(), b"two");
        assert!(matches!(folder.read("CURRENT", 2), Err(FolderError::TooLong { bytes: 3, .. })));
        folder.remove("other").unwrap();
        assert!(matches!(folder.remove("other"), Err(FolderError::Missing { .. })));
        assert!(matches!(folder.read("other", 9), Err(FolderError::Missing { .. })));
        assert!(matches!(folder.rename("other", "third"), Err(FolderError::Missing { .. })));
        assert_eq!(folder.list().unwrap(), ["CURRENT"]);
    }

    #[test]
    fn real_and_simulated_folders_behave_alike() {
        let dir = tempfile::tempdir().unwrap();
        exercise(&RealFolder::new(dir.path()));
        exercise(&CrashFolder::new());
        assert!(RealFolder::new(Path::new("/no/such/folder")).list().is_err());
    }

    #[test]
    fn a_crash_at_any_sync_leaves_the_old_or_the_new_content() {
        let whole = CrashFolder::new();
        publish(&whole, "CURRENT", b"old").unwrap();
        let before = whole.syncs();
        publish(&whole, "CURRENT", b"new").unwrap();
        let after = whole.syncs();
        assert_eq!(after - before, 2);
        let mut seen = Vec::new();
        for stop in before..=after {
            let folder = CrashFolder::stopping_after(stop);
            publish(&folder, "CURRENT", b"old").unwrap();
            publish(&folder, "CURRENT", b"new").unwrap();
            for image in folder.images() {
                let content = image.read("CURRENT", 100).unwrap();
                assert!(content == b"old" || content == b"new", "after {stop} syncs: {content:?}");
                seen.push(content);
            }
        }
        assert!(seen.contains(&b"old".to_vec()) && seen.contains(&b"new".to_vec()));
        assert_eq!(seen.last().unwrap(), b"new");
    }

    #[test]
    fn the_simulation_catches_a_rename_without_sync() {
        let folder = CrashFolder::new();
        publish(&folder, "CURRENT", b"old").unwrap();
        folder.write_unsynced("CURRENT.new", b"new");
        folder.rename("CURRENT.new", "CURRENT").unwrap();
        let contents: Vec<_> = folder.images().map(|image| image.read("CURRENT", 100).unwrap()).into();
        assert!(contents.contains(&Vec::new()), "{contents:?}");
    }
}
