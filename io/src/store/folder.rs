//! A folder of the file system as a store.
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Blob, Merging, Store, StoreError};
use crate::{Direct, FileWriter, OpenError, ReadError, ReadFile, WriteError, sync_folder};

/// A folder of the file system. Folders in it are no part of the store.
#[derive(Debug, Clone)]
pub struct FolderStore {
    path: PathBuf,
}

impl FolderStore {
    /// The folder at `path`, which has to exist when it is used.
    pub fn new(path: &Path) -> FolderStore {
        FolderStore { path: path.to_owned() }
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
        Ok(ReadFile::open(&self.path.join(name), Direct::Off)?)
    }

    fn create(&self, name: &str) -> Result<FileWriter, WriteError> {
        FileWriter::create(&self.path.join(name))
    }

    fn sync(&self) -> Result<(), StoreError> {
        sync_folder(&self.path).map_err(|source| self.failed("be synced", "", source))
    }

    fn remove(&self, name: &str) -> Result<(), StoreError> {
        std::fs::remove_file(self.path.join(name)).map_err(|source| self.failed("be removed", name, source))
    }

    fn list(&self) -> Result<Vec<String>, StoreError> {
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
        let open = PathBuf::from(format!("/proc/self/fd/{}", self.raw_fd()));
        let open = if open.exists() { open } else { self.path().to_owned() };
        ReadFile::open_named(&open, self.path(), direct)
    }
}
