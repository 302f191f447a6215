//! A store in memory that remembers what a crash would leave of it.
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::{
    Blob, Direct, FileWriter, Merging, Naming, OpenError, ReadError, ReadFile, Sink, Store, StoreError,
    WriteError,
};

/// A store with a live image, which its users see, and what would be left on the disk.
///
/// Every sync of a blob or of the names counts. After the `n`-th nothing more reaches the disk, while the
/// users go on unaware; [`CrashStore::images`] then gives what a restart may find.
#[derive(Debug, Clone)]
pub struct CrashStore {
    state: Arc<Mutex<State>>,
}

/// Bytes of one blob: as seen, and as synced (a blob never synced comes back empty).
#[derive(Debug, Clone, Default)]
struct Content {
    live: Vec<u8>,
    synced: Vec<u8>,
}

/// Blobs are numbered, so that a rename moves a name and not bytes.
type Names = BTreeMap<String, usize>;

#[derive(Debug, Default)]
struct State {
    contents: Vec<Content>,
    live: Names,
    /// Names as of the last sync of names that reached the disk.
    synced: Names,
    /// Names as they stood when the disk stopped.
    at_stop: Option<Names>,
    syncs: usize,
    stop_after: Option<usize>,
}

impl State {
    /// Counts a sync and says whether it reaches the disk.
    fn sync_reaches_disk(&mut self) -> bool {
        if self.stop_after == Some(self.syncs) && self.at_stop.is_none() {
            self.at_stop = Some(self.live.clone());
        }
        self.syncs += 1;
        self.at_stop.is_none()
    }

    fn insert(&mut self, name: &str, bytes: &[u8]) -> usize {
        let number = self.contents.len();
        self.contents.push(Content { live: bytes.to_vec(), synced: Vec::new() });
        self.live.insert(name.to_owned(), number);
        number
    }

    fn image(&self, names: &Names) -> CrashStore {
        let mut state = State::default();
        for (name, &number) in names {
            let bytes = self.contents.get(number).map(|c| c.synced.clone()).unwrap_or_default();
            let number = state.insert(name, &bytes);
            if let Some(content) = state.contents.get_mut(number) {
                content.synced = bytes;
            }
        }
        state.synced = state.live.clone();
        CrashStore { state: Arc::new(Mutex::new(state)) }
    }
}

impl Default for CrashStore {
    fn default() -> CrashStore {
        CrashStore::new()
    }
}

impl CrashStore {
    /// An empty store whose disk never stops.
    pub fn new() -> CrashStore {
        CrashStore { state: Arc::default() }
    }

    /// An empty store whose disk stops after `syncs` syncs.
    pub fn stopping_after(syncs: usize) -> CrashStore {
        let store = CrashStore::new();
        store.lock().stop_after = Some(syncs);
        store
    }

    /// Syncs so far, of blobs and of names.
    pub fn syncs(&self) -> usize {
        self.lock().syncs
    }

    /// Writes a blob without syncing it, as a program with a mistake would.
    pub fn write_unsynced(&self, name: &str, bytes: &[u8]) {
        self.lock().insert(name, bytes);
    }

    /// What a restart after a crash may find: only the names that were synced, or every change of names
    /// made up to the crash; in both, blobs hold the bytes that were synced.
    pub fn images(&self) -> [CrashStore; 2] {
        let state = self.lock();
        [state.image(&state.synced), state.image(state.at_stop.as_ref().unwrap_or(&state.live))]
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn missing(name: &str) -> StoreError {
    StoreError::Missing { path: PathBuf::from(name) }
}

impl Store for CrashStore {
    fn root(&self) -> &Path {
        Path::new("")
    }

    fn open(&self, name: &str) -> Result<Arc<dyn Blob>, StoreError> {
        let state = self.lock();
        let number = state.live.get(name).ok_or_else(|| missing(name))?;
        let bytes = state.contents.get(*number).map(|content| content.live.clone()).unwrap_or_default();
        Ok(Arc::new(MemoryBlob { path: PathBuf::from(name), bytes }))
    }

    fn create(&self, name: &str) -> Result<FileWriter, WriteError> {
        let sink = MemorySink { store: self.clone(), name: name.to_owned(), bytes: Vec::new() };
        Ok(FileWriter::over(Box::new(sink), Path::new(name)))
    }

    fn sync(&self) -> Result<(), StoreError> {
        let mut state = self.lock();
        if state.sync_reaches_disk() {
            state.synced = state.live.clone();
        }
        Ok(())
    }

    fn remove(&self, name: &str) -> Result<(), StoreError> {
        self.lock().live.remove(name).map(drop).ok_or_else(|| missing(name))
    }

    fn list(&self) -> Result<Vec<String>, StoreError> {
        Ok(self.lock().live.keys().cloned().collect())
    }
}

/// A blob being written.
struct MemorySink {
    store: CrashStore,
    name: String,
    bytes: Vec<u8>,
}

impl Write for MemorySink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Sink for MemorySink {
    fn leave_out(&mut self, bytes: u64) -> io::Result<()> {
        self.bytes.resize(bytes as usize, 0); // CAST: usize is 64 bits
        Ok(())
    }

    fn finish(&mut self, head: &[u8], naming: Naming) -> io::Result<()> {
        for (to, from) in self.bytes.iter_mut().zip(head) {
            *to = *from;
        }
        let mut state = self.store.lock();
        if naming == Naming::New && state.live.contains_key(&self.name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        // As a file does: its bytes are durable before it has its name.
        let durable = state.sync_reaches_disk();
        let number = state.insert(&self.name, &self.bytes);
        if durable && let Some(content) = state.contents.get_mut(number) {
            content.synced = content.live.clone();
        }
        Ok(())
    }
}

/// A blob as it was when it was opened.
#[derive(Debug)]
struct MemoryBlob {
    path: PathBuf,
    bytes: Vec<u8>,
}

impl Blob for MemoryBlob {
    fn path(&self) -> &Path {
        &self.path
    }

    fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn read_into(&self, offset: u64, out: &mut [u8]) -> Result<(), ReadError> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let range = self.bytes.get(start..).and_then(|rest| rest.get(..out.len()));
        let range = range.ok_or_else(|| ReadError::ShortFile {
            path: self.path.clone(),
            offset,
            bytes: u32::try_from(out.len()).unwrap_or(u32::MAX),
            file_bytes: self.len(),
        })?;
        out.copy_from_slice(range);
        Ok(())
    }

    fn merging(&self) -> Merging {
        Merging::SSD
    }

    fn for_queries(&self, _: Direct) -> Result<Arc<ReadFile>, OpenError> {
        Err(OpenError::NotAFile { path: self.path.clone() })
    }
}
