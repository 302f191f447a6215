//! Which indexes are being served, by name.
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::{Mutex, MutexGuard};

use crate::refusal::Refusal;
use crate::served::{IndexConfig, Opening, Served};

type Map = BTreeMap<String, Arc<Served>>;

/// Longest name of an index.
const NAME_BYTES_MAX: usize = 64;

/// The indexes. Queries look at it without a lock; changes wait for each other.
pub(crate) struct Registry {
    map: ArcSwap<Map>,
    changes: Mutex<()>,
    opening: Opening,
    /// Folders that indexes may be opened from at a client's request, without symbolic links.
    roots: Vec<PathBuf>,
}

impl Registry {
    pub(crate) fn new(opening: Opening, roots: Vec<PathBuf>) -> Registry {
        Registry { map: ArcSwap::default(), changes: Mutex::default(), opening, roots }
    }

    /// The index of that name; with no name the only one.
    pub(crate) fn get(&self, name: &str) -> Result<Arc<Served>, Refusal> {
        let map = self.map.load();
        let found = match name {
            "" if map.len() == 1 => map.values().next(),
            name => map.get(name),
        };
        found.cloned().ok_or_else(|| {
            let known = map.keys().cloned().collect();
            match name {
                "" => Refusal::NoName { known },
                name => Refusal::NoIndex { name: name.to_owned(), known },
            }
        })
    }

    /// All of them, by name.
    pub(crate) fn all(&self) -> Vec<Arc<Served>> {
        self.map.load().values().cloned().collect()
    }

    /// Opens a further index.
    pub(crate) async fn load(&self, config: IndexConfig) -> Result<Arc<Served>, Refusal> {
        check_name(&config.name)?;
        let held = self.changes.lock().await;
        if self.map.load().contains_key(&config.name) {
            return Err(Refusal::Taken { name: config.name });
        }
        self.open(&held, config).await
    }

    /// Stops serving an index.
    pub(crate) async fn unload(&self, name: &str) -> Result<(), Refusal> {
        let _held = self.changes.lock().await;
        let served = self.get(name)?;
        let mut map = Map::clone(&self.map.load());
        map.remove(&served.config.name);
        self.map.store(Arc::new(map));
        Ok(())
    }

    /// Puts the newest version in `path`, or in the folder it has, in the place of an index: the one before and the
    /// one now.
    pub(crate) async fn switch(
        &self,
        name: &str,
        path: Option<PathBuf>,
    ) -> Result<(Arc<Served>, Arc<Served>), Refusal> {
        let held = self.changes.lock().await;
        let old = self.get(name)?;
        let mut config = old.config.clone();
        config.path = path.unwrap_or(config.path);
        let new = self.open(&held, config).await?;
        Ok((old, new))
    }

    async fn open(&self, _held: &MutexGuard<'_, ()>, config: IndexConfig) -> Result<Arc<Served>, Refusal> {
        let with = self.opening.clone();
        let opening = tokio::task::spawn_blocking(move || Served::open(config, &with));
        let served = opening.await.map_err(|e| Refusal::Internal(format!("opening an index: {e}")))??;
        let served = Arc::new(served);
        let mut map = Map::clone(&self.map.load());
        map.insert(served.config.name.clone(), Arc::clone(&served));
        self.map.store(Arc::new(map));
        Ok(served)
    }

    /// The folder that a client names, if it lies inside one of the roots.
    pub(crate) fn confined(&self, path: &str) -> Result<PathBuf, Refusal> {
        let real =
            fs_err::canonicalize(path).ok().filter(|real| self.roots.iter().any(|r| real.starts_with(r)));
        // What is missing and what lies outside are not told apart, so that nobody can look around.
        real.ok_or_else(|| {
            let roots: Vec<String> =
                self.roots.iter().map(|root| format!("--root {}", root.display())).collect();
            let roots = if roots.is_empty() { "no --root".to_owned() } else { roots.join(" ") };
            Refusal::Outside { path: path.to_owned(), roots }
        })
    }
}

/// Names go into metrics, logs and addresses.
pub(crate) fn check_name(name: &str) -> Result<(), Refusal> {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if !name.is_empty() && name.len() <= NAME_BYTES_MAX && name.chars().all(good) {
        return Ok(());
    }
    let message = format!(
        "'{}' is no name, expected 1 to 64 of A-Z, a-z, 0-9, '.', '_' and '-'",
        name.escape_default()
    );
    Err(Refusal::field("index", message))
}
