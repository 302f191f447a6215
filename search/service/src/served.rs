//! One index as it is being served.
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use spandrel_engine::{Engine, Executor, Lookup};
use spandrel_index::format::{Manifest, OpenError, approve, approved, current};
use spandrel_index::{DType, Index, Metric, OpenOptions, VectorsShape};
use spandrel_io::{FolderStore, Store};

use crate::admission::{Admission, AdmissionConfig, Admitted, Load};
use crate::ask::Version;
use crate::attributes::{AttributeSummary, attributes};
use crate::causes::with_causes;
use crate::descriptors::{Shares, files_of};
use crate::filters::Filters;
use crate::metrics::{IndexMetrics, Metrics};
use crate::place::Place;
use crate::progress::Progress;
use crate::recall::{Measured, Recall};
use crate::refusal::Refusal;
use crate::unloader::Unloader;
use crate::watched::Watched;

/// How an index is opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexConfig {
    /// Name it is served under: 1 to 64 of `A-Z`, `a-z`, `0-9`, `.`, `_` and `-`.
    pub name: String,
    /// Folder of the index.
    pub path: PathBuf,
    /// The version to serve, in force or not; if none is named, the one that was approved, else the one in force.
    pub version: Option<u64>,
    /// Where its parts are kept.
    pub options: OpenOptions,
}

/// What an index is opened from.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    pub(crate) place: Place,
    pub(crate) version: Which,
}

/// Which version of an index is opened.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Which {
    /// The one that was approved, else the one in force.
    Approved,
    InForce,
    Number(u64),
}

impl Which {
    fn open(self, store: &dyn Store, options: OpenOptions, stop: &AtomicBool) -> Result<Index, OpenError> {
        match self {
            Which::Approved => Index::open_approved_from(store, options, stop),
            Which::InForce => Index::open_from(store, options, stop),
            Which::Number(version) => Index::open_version_from(store, version, options, stop),
        }
    }

    /// What the version consists of; none where that cannot be read.
    fn manifest(self, store: &dyn Store) -> Option<Manifest> {
        let of = |named| Manifest::open(store, named).ok();
        match self {
            Which::Approved => approved(store).ok()?.or_else(|| current(store).ok()).and_then(of),
            Which::InForce => current(store).ok().and_then(of),
            Which::Number(version) => Manifest::open_version(store, version).ok(),
        }
    }

    /// The same where it shares everything but its recall with an index that is open.
    fn share(
        self,
        store: &dyn Store,
        loaded: &Index,
        options: OpenOptions,
        stop: &AtomicBool,
    ) -> Result<Option<Index>, OpenError> {
        // What is wrong with it is told where it is opened.
        let (false, Some(manifest)) = (matches!(self, Which::Approved), self.manifest(store)) else {
            return Ok(None);
        };
        loaded.recalibrated(store, manifest, options, stop)
    }
}

impl Source {
    /// Files that it has open; none where that cannot be told before it is opened.
    pub(crate) fn files(&self, store: &FolderStore) -> Option<usize> {
        self.version.manifest(store).as_ref().map(files_of)
    }
}

impl IndexConfig {
    pub(crate) fn which(&self) -> Which {
        self.version.map_or(Which::Approved, Which::Number)
    }

    /// What a start opens.
    pub(crate) fn source(&self) -> Source {
        Source { place: Place::of_settings(&self.path), version: self.which() }
    }

    /// Opens what a server that starts with this serves.
    ///
    /// # Errors
    /// As [`Index::open_approved_from`] and [`Index::open_version_from`].
    pub fn open(&self, stop: &AtomicBool) -> Result<Index, OpenError> {
        self.which().open(&FolderStore::new(&self.path), self.options, stop)
    }
}

/// What matters most about an index.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Summary {
    pub(crate) name: String,
    pub(crate) version: Version,
    pub(crate) vectors: u64,
    pub(crate) dim: usize,
    pub(crate) dtype: DType,
    pub(crate) metric: Metric,
    /// Lists and pages found damaged since it was opened, 1000 at most.
    pub(crate) quarantined: usize,
}

/// What indexes are opened with, whichever they are.
#[derive(Debug, Clone)]
pub(crate) struct Opening {
    /// The search threads of all indexes.
    pub(crate) executor: Executor,
    pub(crate) admission: AdmissionConfig,
    pub(crate) metrics: Arc<Metrics>,
    /// Whether the recall of what is answered is measured.
    pub(crate) measures_recall: bool,
    /// Whether queries aim higher where it falls under its target.
    pub(crate) corrects_recall: bool,
    pub(crate) descriptors: Arc<Shares>,
    /// Memory of the filters of each, of all versions that are in use.
    pub(crate) filter_bytes: usize,
}

/// An index, open and answering. Never changes: a switch puts another in its place.
pub(crate) struct Served {
    /// As it was first opened: a switch does not change it.
    pub(crate) config: IndexConfig,
    pub(crate) opened: Instant,
    /// Time that opening took.
    pub(crate) opening_time: Duration,
    /// Where it was opened.
    pub(crate) place: Place,
    version: Version,
    pub(crate) lookup: Arc<Lookup>,
    pub(crate) admission: Arc<Admission>,
    pub(crate) metrics: IndexMetrics,
    pub(crate) attributes: Vec<AttributeSummary>,
    pub(crate) filters: Filters,
    /// Recall of what it answers, where that is measured.
    pub(crate) recall: Option<Recall>,
    /// Damaged parts that the log tells of.
    logged: AtomicUsize,
    engine: Unloader,
}

impl Served {
    /// Opens an index from `source`, whose folder is `store`, and counts in `progress` what is read. Blocks for as long as reading what stays in memory
    /// takes, or until `stop` is set. Of a version that differs from `loaded`, whose place it takes, in its recall alone, nothing else is
    /// read.
    pub(crate) fn open(
        config: IndexConfig,
        source: Source,
        store: FolderStore,
        loaded: Option<&Served>,
        opening: &Opening,
        progress: Arc<Progress>,
        stop: &AtomicBool,
    ) -> Result<Served, Refusal> {
        let begun = Instant::now();
        let slots = opening.executor.config().slots();
        let store = Watched::new(store, progress);
        let share =
            |loaded: &Served| source.version.share(&store, loaded.index(), config.options, stop).transpose();
        let shared = loaded.and_then(share).transpose()?;
        let index = Arc::new(match shared {
            Some(index) => index,
            None => source.version.open(&store, config.options, stop)?,
        });
        let uuid = format!("{:032x}", index.uuid()).into();
        let version = Version { number: index.manifest().version, uuid };
        let lookup = Arc::new(Lookup::open(Arc::clone(&index))?);
        let attributes = attributes(&index);
        let engine = opening.executor.register(index)?;
        if let Some(why) = &engine.io().fallback {
            tracing::warn!(index = config.name, backend = %engine.io().backend, why, "reading in a slower way");
        }
        let admission = Arc::new(Admission::new(opening.admission, slots));
        let metrics = opening.metrics.index(&config.name);
        Ok(Served {
            config,
            opened: Instant::now(),
            opening_time: begun.elapsed(),
            place: source.place,
            version,
            lookup,
            admission,
            metrics,
            attributes,
            filters: loaded.map_or_else(|| Filters::new(opening.filter_bytes), |old| old.filters.of_next()),
            recall: opening.measures_recall.then(|| Recall::new(opening.corrects_recall)),
            logged: AtomicUsize::new(0),
            engine: Unloader::of(engine),
        })
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    pub(crate) fn index(&self) -> &Arc<Index> {
        self.engine().index()
    }

    /// Lets in work, or refuses it.
    pub(crate) fn admit(&self, load: Load, deadline: Instant) -> Result<Admitted, Refusal> {
        self.admission.admit(load, deadline).inspect_err(|refusal| {
            if matches!(refusal, Refusal::Overloaded { .. }) {
                self.metrics.refused.inc_by(load.asked as u64); // CAST: widening
            }
        })
    }

    /// Approves its version, durably, so that a server that starts opens it: why one would not. Where the settings decide what
    /// a start opens, nothing is written.
    pub(crate) fn approve(&self) -> Option<String> {
        let (version, folder) = (self.version.number, self.place.path());
        let real = |path: &Path| fs_err::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        match self.config.version {
            _ if real(folder) != real(&self.config.path) => {
                return Some(format!("its settings name {}", self.config.path.display()));
            }
            Some(held) if held != version => return Some(format!("its settings hold it to version {held}")),
            Some(_) => return None,
            None => {}
        }
        match self.place.store() {
            Ok(store) => approve(&store, version).err().map(|error| with_causes(&error)),
            Err(error) => Some(format!("{}: {error}", folder.display())),
        }
    }

    /// The version that is in force in its folder, where that is another.
    pub(crate) fn other_in_force(&self) -> Option<u64> {
        let current = current(&self.place.store().ok()?).ok()?;
        (current.version != self.version.number).then_some(current.version)
    }

    pub(crate) fn version(&self) -> Version {
        self.version.clone()
    }

    /// What matters most about it.
    pub(crate) fn summary(&self) -> Summary {
        let index = self.index();
        // What queries are to be like: of an index of documents, tokens.
        let VectorsShape { dim, dtype, .. } = index.query_shape();
        Summary {
            name: self.config.name.clone(),
            version: self.version(),
            vectors: index.vectors(),
            dim,
            dtype,
            metric: index.metric(),
            quarantined: self.engine().damage_count(),
        }
    }

    /// Recall of what it answered, as far as that was measured.
    pub(crate) fn measured(&self) -> Vec<Measured> {
        self.recall.as_ref().map(|recall| recall.tally.measured()).unwrap_or_default()
    }

    /// Bytes of memory by part.
    pub(crate) fn memory(&self) -> [(&'static str, u64); 10] {
        let memory = self.index().memory();
        [
            ("heads", memory.heads),
            ("head_index", memory.head_index),
            ("directory", memory.directory),
            ("codes", memory.codes),
            ("vectors", memory.vectors),
            ("ids", memory.resident_ids),
            ("documents", memory.documents),
            ("attributes", memory.attributes),
            ("caches", self.engine().cache_bytes() as usize), // CAST: bytes in memory
            ("filters", self.filters.bytes()),
        ]
        .map(|(part, bytes)| (part, bytes as u64)) // CAST: widening
    }

    /// Logs when more parts are damaged at once than ever before.
    pub(crate) fn log_damage(&self) {
        let parts = self.engine().damage_count();
        let known = self.logged.fetch_max(parts, Ordering::Relaxed);
        // The log is ordered by number, so that what is new may be anywhere; only its beginning is told.
        if parts > known {
            let first = self.engine().damage().first().map(ToString::to_string).unwrap_or_default();
            let index = &self.config.name;
            tracing::error!(index, parts, first, "damaged parts are left out of answers; verify the index");
        }
    }
}
