//! A folder whose reads are counted while an index is being opened from it.
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use spandrel_io::{
    Blob, Direct, FileWriter, FolderStore, Merging, OpenError, ReadError, ReadFile, Store, StoreError,
    WriteError,
};

use crate::progress::Progress;

/// A folder that counts what is read of its files.
#[derive(Debug)]
pub(crate) struct Watched {
    folder: FolderStore,
    reads: Arc<Reads>,
}

/// Where reads are counted, until the index is open: it keeps its files.
#[derive(Debug)]
struct Reads {
    progress: Arc<Progress>,
    is_over: AtomicBool,
}

impl Watched {
    pub(crate) fn new(folder: FolderStore, progress: Arc<Progress>) -> Watched {
        let reads = Arc::new(Reads { progress, is_over: AtomicBool::new(false) });
        Watched { folder, reads }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.reads.is_over.store(true, Ordering::Relaxed);
    }
}

impl Store for Watched {
    fn root(&self) -> &Path {
        self.folder.root()
    }

    fn open(&self, name: &str) -> Result<Arc<dyn Blob>, StoreError> {
        Ok(Arc::new(WatchedBlob { blob: self.folder.open(name)?, reads: Arc::clone(&self.reads) }))
    }

    fn create(&self, name: &str) -> Result<FileWriter, WriteError> {
        self.folder.create(name)
    }

    fn sync(&self) -> Result<(), StoreError> {
        self.folder.sync()
    }

    fn remove(&self, name: &str) -> Result<(), StoreError> {
        self.folder.remove(name)
    }

    fn list(&self) -> Result<Vec<String>, StoreError> {
        self.folder.list()
    }
}

#[derive(Debug)]
struct WatchedBlob {
    blob: Arc<dyn Blob>,
    reads: Arc<Reads>,
}

impl Blob for WatchedBlob {
    fn path(&self) -> &Path {
        self.blob.path()
    }

    fn len(&self) -> u64 {
        self.blob.len()
    }

    fn read_into(&self, offset: u64, out: &mut [u8]) -> Result<(), ReadError> {
        self.blob.read_into(offset, out)?;
        if !self.reads.is_over.load(Ordering::Relaxed) {
            self.reads.progress.add(out.len() as u64); // CAST: widening
        }
        Ok(())
    }

    fn merging(&self) -> Merging {
        self.blob.merging()
    }

    fn for_queries(&self, direct: Direct) -> Result<Arc<ReadFile>, OpenError> {
        self.blob.for_queries(direct)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_are_counted_until_the_index_is_open() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("section"), [7; 100]).unwrap();
        let progress = Arc::new(Progress::default());
        let store = Watched::new(FolderStore::new(folder.path()), Arc::clone(&progress));
        let blob = store.open("section").unwrap();
        let mut out = [0; 60];
        blob.read_into(10, &mut out).unwrap();
        assert!(blob.read_into(90, &mut out).is_err());
        assert_eq!((out, progress.bytes()), ([7; 60], (60, 0)));
        drop(store);
        blob.read_into(0, &mut out).unwrap();
        assert_eq!(progress.bytes(), (60, 0));
    }
}
