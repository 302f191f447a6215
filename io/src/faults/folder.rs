//! A folder in memory that remembers what a crash would leave of it.
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::{Folder, FolderError};

/// A folder with a live image, which its users see, and what would be left on the disk.
///
/// Every sync of a file or of the folder counts. After the `n`-th nothing more reaches the disk, while the
/// users go on unaware; [`CrashFolder::images`] then gives what a restart may find.
#[derive(Debug, Clone)]
pub struct CrashFolder {
    state: Arc<Mutex<State>>,
}

/// Bytes of one file: as seen, and as synced (a file never synced comes back empty).
#[derive(Debug, Clone, Default)]
struct Content {
    live: Vec<u8>,
    synced: Vec<u8>,
}

/// Files are numbered, so that a rename moves a name and not bytes.
type Names = BTreeMap<String, usize>;

#[derive(Debug, Default)]
struct State {
    contents: Vec<Content>,
    live: Names,
    /// Names as of the last sync of the folder that reached the disk.
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

    fn image(&self, names: &Names) -> CrashFolder {
        let mut state = State::default();
        for (name, &number) in names {
            let bytes = self.contents.get(number).map(|c| c.synced.clone()).unwrap_or_default();
            let number = state.insert(name, &bytes);
            if let Some(content) = state.contents.get_mut(number) {
                content.synced = bytes;
            }
        }
        state.synced = state.live.clone();
        CrashFolder { state: Arc::new(Mutex::new(state)) }
    }
}

impl Default for CrashFolder {
    fn default() -> CrashFolder {
        CrashFolder::new()
    }
}

impl CrashFolder {
    /// An empty folder whose disk never stops.
    pub fn new() -> CrashFolder {
        CrashFolder { state: Arc::default() }
    }

    /// An empty folder whose disk stops after `syncs` syncs.
    pub fn stopping_after(syncs: usize) -> CrashFolder {
        let folder = CrashFolder::new();
        folder.lock().stop_after = Some(syncs);
        folder
    }

    /// Syncs so far, of files and of the folder.
    pub fn syncs(&self) -> usize {
        self.lock().syncs
    }

    /// Writes a file without syncing it, as a program with a mistake would.
    pub fn write_unsynced(&self, name: &str, bytes: &[u8]) {
        self.lock().insert(name, bytes);
    }

    /// What a restart after a crash may find: only the names that were synced, or every change of names
    /// made up to the crash; in both, files hold the bytes that were synced.
    pub fn images(&self) -> [CrashFolder; 2] {
        let state = self.lock();
        [state.image(&state.synced), state.image(state.at_stop.as_ref().unwrap_or(&state.live))]
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn missing(name: &str) -> FolderError {
    FolderError::Missing { path: PathBuf::from(name) }
}

impl Folder for CrashFolder {
    fn write_new(&self, name: &str, bytes: &[u8]) -> Result<(), FolderError> {
        let mut state = self.lock();
        let number = state.insert(name, bytes);
        if state.sync_reaches_disk()
            && let Some(content) = state.contents.get_mut(number)
        {
            content.synced = content.live.clone();
        }
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), FolderError> {
        let mut state = self.lock();
        let number = state.live.remove(from).ok_or_else(|| missing(from))?;
        state.live.insert(to.to_owned(), number);
        Ok(())
    }

    fn sync(&self) -> Result<(), FolderError> {
        let mut state = self.lock();
        if state.sync_reaches_disk() {
            state.synced = state.live.clone();
        }
        Ok(())
    }

    fn remove(&self, name: &str) -> Result<(), FolderError> {
        self.lock().live.remove(name).map(drop).ok_or_else(|| missing(name))
    }

    fn list(&self) -> Result<Vec<String>, FolderError> {
        Ok(self.lock().live.keys().cloned().collect())
    }

    fn read(&self, name: &str, bytes_max: u64) -> Result<Vec<u8>, FolderError> {
        let state = self.lock();
        let number = state.live.get(name).ok_or_else(|| missing(name))?;
        let content = state.contents.get(*number).ok_or_else(|| missing(name))?;
        let bytes = content.live.len() as u64;
        if bytes > bytes_max {
            return Err(FolderError::TooLong { path: PathBuf::from(name), bytes, bytes_max });
        }
        Ok(content.live.clone())
    }
}
