//! Which indexes are being served, by name.
use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use arc_swap::{ArcSwap, ArcSwapOption};
use spandrel_engine::ThreadReport;
use spandrel_io::FolderStore;
use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::descriptors::{Shares, files_of};
use crate::health::Health;
use crate::index_name::check_index_name;
use crate::place::Place;
use crate::progress::Progress;
use crate::refusal::Refusal;
use crate::served::{IndexConfig, Opening, Served, Source, Which};
use crate::stopping::StopFlag;

type Map = BTreeMap<String, Arc<Served>>;

/// The indexes. Queries look at it without a lock; changes wait for each other.
pub(crate) struct Registry {
    map: ArcSwap<Map>,
    /// Held by whoever opens or removes an index, until health tells of it.
    changes: Arc<Mutex<()>>,
    opening: Opening,
    health: Health,
    /// How far the start is; none once all indexes are open.
    loading: ArcSwapOption<Loading>,
    /// Folders that indexes may be opened from at a client's request, without symbolic links.
    roots: Vec<PathBuf>,
    /// Name of the index for requests that name none.
    default: Option<String>,
}

/// Indexes opened of those that are served from the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Loading {
    pub(crate) done: usize,
    pub(crate) of: usize,
}

/// An index, and the one that it took the place of.
pub(crate) struct Switched {
    pub(crate) old: Arc<Served>,
    pub(crate) new: Arc<Served>,
    /// Why a start would not open this version; none where it would.
    pub(crate) not_remembered: Option<String>,
}

/// An index to be opened.
struct Wanted {
    config: IndexConfig,
    source: Source,
    /// What it takes the place of, which it may share parts with.
    loaded: Option<Arc<Served>>,
    /// Whether the version is approved once it is in place.
    approve: bool,
}

impl From<IndexConfig> for Wanted {
    fn from(config: IndexConfig) -> Wanted {
        Wanted { source: config.source(), config, loaded: None, approve: false }
    }
}

/// An index that is in place, and why it could not be approved.
struct Placed {
    served: Arc<Served>,
    not_remembered: Option<String>,
}

impl Registry {
    pub(crate) fn new(
        opening: Opening,
        roots: Vec<PathBuf>,
        default: Option<String>,
        health: Health,
    ) -> Registry {
        Registry {
            map: ArcSwap::default(),
            changes: Arc::default(),
            opening,
            health,
            loading: ArcSwapOption::default(),
            roots,
            default,
        }
    }

    /// How the search threads are.
    pub(crate) fn threads(&self) -> ThreadReport {
        self.opening.executor.threads()
    }

    /// How far the start is; none once all indexes are open.
    pub(crate) fn loading(&self) -> Option<Loading> {
        self.loading.load().as_deref().copied()
    }

    /// States that indexes are being opened, so that nothing is answered before the last one is.
    pub(crate) fn set_loading(&self, loading: Loading) {
        self.loading.store(Some(Arc::new(loading)));
    }

    /// States that all indexes are open.
    pub(crate) async fn set_loaded(&self) {
        let _held = self.changes.lock().await;
        self.loading.store(None);
        self.health.started().await;
        for served in self.all() {
            self.health.serving(&served.config.name).await;
        }
    }

    /// Refuses while indexes of the start are being opened.
    pub(crate) fn check_loaded(&self) -> Result<(), Refusal> {
        match self.loading() {
            None => Ok(()),
            Some(Loading { done, of }) => Err(Refusal::Loading { done, of }),
        }
    }

    /// The index of that name; with no name the default one, or the only one where no default was set.
    pub(crate) fn get(&self, name: &str) -> Result<Arc<Served>, Refusal> {
        self.check_loaded()?;
        let map = self.map.load();
        let name = if name.is_empty() { self.default.as_deref().unwrap_or_default() } else { name };
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

    /// Descriptors, shared out among indexes and connections.
    pub(crate) fn descriptors(&self) -> &Shares {
        &self.opening.descriptors
    }

    /// Opens an index of the start.
    pub(crate) async fn load_first(self: &Arc<Self>, config: IndexConfig) -> Result<Arc<Served>, Refusal> {
        check_index_name(&config.name)?;
        let held = Arc::clone(&self.changes).lock_owned().await;
        Ok(self.open(held, config.into(), Arc::default()).await?.served)
    }

    /// Refuses a name that no further index may have.
    pub(crate) fn check_new(&self, name: &str) -> Result<(), Refusal> {
        check_index_name(name)?;
        self.check_loaded()?;
        match self.map.load().contains_key(name) {
            false => Ok(()),
            true => Err(Refusal::Taken { name: name.to_owned() }),
        }
    }

    /// Opens a further index, at the place that its path was found to be. Given up, it stops opening.
    pub(crate) async fn load(
        self: &Arc<Self>,
        config: IndexConfig,
        place: Place,
        progress: Arc<Progress>,
    ) -> Result<Arc<Served>, Refusal> {
        let held = Arc::clone(&self.changes).lock_owned().await;
        self.check_new(&config.name)?;
        let source = Source { place, version: config.which() };
        let wanted = Wanted { config, source, loaded: None, approve: false };
        Ok(self.open(held, wanted, progress).await?.served)
    }

    /// Stops serving an index.
    pub(crate) async fn unload(&self, name: &str) -> Result<(), Refusal> {
        let _held = self.changes.lock().await;
        let served = self.get(name)?;
        let mut map = Map::clone(&self.map.load());
        map.remove(&served.config.name);
        self.map.store(Arc::new(map));
        self.count_files(&served.config.name);
        self.health.gone(&served.config.name).await;
        self.opening.metrics.forget(&served.config.name);
        Ok(())
    }

    /// Tells whether an index answers, as long as it is served.
    pub(crate) async fn set_serving(&self, index: &str, serving: bool) {
        if serving {
            self.health.serving(index).await
        } else {
            self.health.silent(index).await
        }
        if !self.map.load().contains_key(index) {
            self.health.gone(index).await;
        }
    }

    /// Puts a version, the one in force if none is named, in `place`, or in the folder it has, in the place of an index, and
    /// approves it. Given up, it stops opening, and the one before stays.
    pub(crate) async fn switch(
        self: &Arc<Self>,
        name: &str,
        place: Option<Place>,
        version: Option<u64>,
        progress: Arc<Progress>,
    ) -> Result<Switched, Refusal> {
        let held = Arc::clone(&self.changes).lock_owned().await;
        let old = self.get(name)?;
        let source = Source {
            place: place.unwrap_or_else(|| old.place.clone()),
            version: version.map_or(Which::InForce, Which::Number),
        };
        let loaded = Some(Arc::clone(&old));
        let wanted = Wanted { config: old.config.clone(), source, loaded, approve: true };
        let Placed { served: new, not_remembered } = self.open(held, wanted, progress).await?;
        Ok(Switched { old, new, not_remembered })
    }

    /// Opens an index and puts it in place, in a task of its own that holds the lock to its end: a caller who gives up sets
    /// the flag, and the next one begins only when this one has let go.
    async fn open(
        self: &Arc<Self>,
        held: OwnedMutexGuard<()>,
        wanted: Wanted,
        progress: Arc<Progress>,
    ) -> Result<Placed, Refusal> {
        let given_up = StopFlag::default();
        let (registry, stop) = (Arc::clone(self), given_up.share());
        let opening = tokio::spawn(async move {
            let _held = held;
            let (within, flag) = (Arc::clone(&registry), Arc::clone(&stop));
            let Wanted { config, source, loaded, approve } = wanted;
            let name = config.name.clone();
            let old = loaded.clone();
            let opening = tokio::task::spawn_blocking(move || {
                let (with, store) = (&within.opening, within.folder(&source.place)?);
                let before = old.as_ref().map(|old| files_of(old.index().manifest()));
                if let Some(files) = source.files(&store) {
                    with.descriptors.put_by(&config.name, before.unwrap_or(0).max(files))?;
                    with.descriptors.wait_free(files, &flag)?;
                }
                Served::open(config, source, store, old.as_deref(), with, progress, &flag)
            });
            let opened = opening.await.map_err(Refusal::broken("opening an index"));
            let served = opened.flatten().inspect_err(|_| registry.count_files(&name))?;
            if stop.load(Ordering::Relaxed) {
                if !registry.map.load().contains_key(&served.config.name) {
                    registry.opening.metrics.forget(&served.config.name);
                }
                registry.count_files(&name);
                return Err(Refusal::Cancelled);
            }
            let served = Arc::new(served);
            let mut map = Map::clone(&registry.map.load());
            map.insert(served.config.name.clone(), Arc::clone(&served));
            registry.map.store(Arc::new(map));
            registry.count_files(&name);
            // Queries under way have theirs.
            if let Some(old) = loaded {
                old.filters.forget();
            }
            if registry.loading().is_none() {
                registry.health.serving(&served.config.name).await;
            }
            let approving = Arc::clone(&served);
            let approved =
                tokio::task::spawn_blocking(move || approve.then(|| approving.approve()).flatten());
            let not_remembered = approved.await.map_err(Refusal::broken("approving"))?;
            if let Some(why) = &not_remembered {
                let index = &served.config.name;
                tracing::warn!(index, why, "a restart does not serve this version");
            }
            Ok(Placed { served, not_remembered })
        });
        let opened = opening.await.map_err(Refusal::broken("opening an index"))?;
        drop(given_up);
        opened
    }

    /// Counts the files of an index as it is served now, if it is.
    fn count_files(&self, name: &str) {
        let descriptors = &self.opening.descriptors;
        match self.map.load().get(name) {
            Some(served) => {
                // No more than were counted while it was opened, unless its folder was changed meanwhile.
                if let Err(refusal) = descriptors.put_by(name, files_of(served.index().manifest())) {
                    tracing::warn!(index = name, %refusal, "the files of an index are not all counted");
                }
            }
            None => descriptors.give(name),
        }
    }

    /// The folder that a client names, if it lies inside one of the roots. Whether it still does is seen when it is opened.
    pub(crate) fn confined(&self, path: &str) -> Result<Place, Refusal> {
        let place = fs_err::canonicalize(path).ok().and_then(|real| {
            let root = self.roots.iter().find(|root| real.starts_with(root))?;
            Some(Place::beneath(root, real))
        });
        // What is missing and what lies outside are not told apart, so that nobody can look around.
        place.ok_or_else(|| self.outside(path))
    }

    /// Opens the folder of an index. One that a client named may have become a link since it was found to lie inside a root.
    fn folder(&self, place: &Place) -> Result<FolderStore, Refusal> {
        place.store().map_err(|error| match error.kind() {
            io::ErrorKind::Unsupported => Refusal::Unsupported(error),
            _ => self.outside(&place.path().display().to_string()),
        })
    }

    fn outside(&self, path: &str) -> Refusal {
        let roots: Vec<String> = self.roots.iter().map(|root| format!("--root {}", root.display())).collect();
        let roots = if roots.is_empty() { "none".to_owned() } else { roots.join(" ") };
        Refusal::Outside { path: path.to_owned(), roots }
    }
}
