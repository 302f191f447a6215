//! A folder of the file system as a store.
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{CWD, Mode, OFlags, openat};

use super::{Blob, Merging, Store, StoreError};
use crate::read::by_descriptor;
use crate::{Direct, FileWriter, OpenError, ReadError, ReadFile, WriteError, sync_folder};

/// A folder of the file system. Folders in it are no part of the store.
#[derive(Debug, Clone)]
pub struct FolderStore {
    path: PathBuf,
    /// Open, where the store stays this folder when its path becomes that of another.
    held: Option<Arc<OwnedFd>>,
}

impl FolderStore {
    /// The folder at `path`, which has to exist when it is used.
    pub fn new(path: &Path) -> FolderStore {
        FolderStore { path: path.to_owned(), held: None }
    }

    /// The folder at `path` beneath `root`, reached from there without a symbolic link, as `path` is written. The store stays this
    /// folder when its path becomes that of another, and no link in it is a file of it: what is read and written lies beneath `root`,
    /// also while others change it. Holds a descriptor.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotADirectory`] at a link; [`io::ErrorKind::InvalidInput`] for a path that is not written as one
    /// beneath `root`; [`io::ErrorKind::Unsupported`] without `/proc`; what else the system answers.
    pub fn beneath(root: &Path, path: &Path) -> io::Result<FolderStore> {
        let inside = path.strip_prefix(root).map_err(|_| io::ErrorKind::InvalidInput)?;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let mut folder = openat(CWD, root, flags, Mode::empty())?;
        for step in inside.components() {
            let Component::Normal(name) = step else { return Err(io::ErrorKind::InvalidInput.into()) };
            folder = openat(&folder, name, flags | OFlags::NOFOLLOW, Mode::empty())?;
        }
        if !by_descriptor(&folder).exists() {
            let message = "/proc is not mounted, which holding a folder takes";
            return Err(io::Error::new(io::ErrorKind::Unsupported, message));
        }
        Ok(FolderStore { path: path.to_owned(), held: Some(Arc::new(folder)) })
    }

    /// The folder as it is reached.
    fn at(&self) -> PathBuf {
        self.held.as_ref().map_or_else(|| self.path.clone(), by_descriptor)
    }

    fn failed(&self, action: &'static str, name: &str, source: io::Error) -> StoreError {
        let path = if name.is_empty() { self.path.clone() } else { self.path.join(name) };
        match source.kind() {
            io::ErrorKind::NotFound if !name.is_empty() => StoreError::Missing { path },
            _ => StoreError::Io { action, path, source },
        }
    }
}

impl Store for FolderStore {
    fn root(&self) -> &Path {
        &self.path
    }

    fn open(&self, name: &str) -> Result<Arc<dyn Blob>, StoreError> {
        // Through the page cache: what is opened here is read from front to back.
        let path = self.path.join(name);
        match &self.held {
            Some(folder) => Ok(ReadFile::open_in(folder.as_fd(), name, &path)?),
            None => Ok(ReadFile::open(&path, Direct::Off)?),
        }
    }

    fn create(&self, name: &str) -> Result<FileWriter, WriteError> {
        FileWriter::create_at(&self.at().join(name), &self.path.join(name))
    }

    fn sync(&self) -> Result<(), StoreError> {
        sync_folder(&self.at()).map_err(|source| self.failed("be synced", "", source))
    }

    fn remove(&self, name: &str) -> Result<(), StoreError> {
        std::fs::remove_file(self.at().join(name)).map_err(|source| self.failed("be removed", name, source))
    }

    fn list(&self) -> Result<Vec<String>, StoreError> {
        let failed = |source| self.failed("be listed", "", source);
        let mut names = Vec::new();
        for entry in std::fs::read_dir(self.at()).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            if entry.file_type().map_err(failed)?.is_file() {
                names.push(entry.file_name().to_string_lossy().into_owned());
            }
        }
        names.sort();
        Ok(names)
    }
}

impl Blob for ReadFile {
    fn path(&self) -> &Path {
        self.path()
    }

    fn len(&self) -> u64 {
        self.len()
    }

    fn read_into(&self, offset: u64, out: &mut [u8]) -> Result<(), ReadError> {
        self.read_into(offset, out)
    }

    fn merging(&self) -> Merging {
        Merging::SSD
    }

    fn for_queries(&self, direct: Direct) -> Result<Arc<ReadFile>, OpenError> {
        // By its descriptor: the name may be gone. Without /proc, the name is all there is.
        let open = by_descriptor(self.as_file());
        let open = if open.exists() { open } else { self.path().to_owned() };
        ReadFile::open_named(&open, self.path(), direct)
    }
}
