//! Descriptors of the process: raised to what the system allows, counted, and checked against the connections.
use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::gauge::ConstGauge;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use spandrel_index::format::Manifest;

use crate::refusal::Refusal;

/// Files of a segment that are open once more for searches, besides those of attributes: lists, vectors, ids.
const FOR_QUERIES: usize = 3;
/// Kept for the log, certificates, sockets that listen, and what is opened for a moment.
const SLACK: usize = 64;

/// Time for the files of an old version to be closed, and between two looks.
const CLOSING: Duration = Duration::from_secs(5);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Files that an index has open, at most.
pub(crate) fn files_of(manifest: &Manifest) -> usize {
    let again = manifest.segments.iter().map(|segment| FOR_QUERIES + segment.attributes().count());
    manifest.files().count() + again.sum::<usize>()
}

/// Raises the soft limit to the hard one: how many descriptors there may be.
pub(crate) fn raise() -> usize {
    let found = getrlimit(Resource::Nofile);
    if found.current != found.maximum
        && let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: found.maximum, ..found })
    {
        tracing::warn!(%error, "the limit of open files cannot be raised");
    }
    allowed()
}

fn allowed() -> usize {
    let limit = getrlimit(Resource::Nofile).current;
    limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX))
}

/// How many are open; none where the system does not tell.
fn open() -> Option<usize> {
    Some(std::fs::read_dir("/proc/self/fd").ok()?.count())
}

/// Descriptors, shared out: what indexes leave is for connections.
#[derive(Debug)]
pub(crate) struct Shares {
    /// Those that there may be.
    allowed: usize,
    /// Those that neither indexes nor connections of clients have.
    others: usize,
    /// Connections that are wanted at most.
    wanted: usize,
    /// Files of each index, twice, since it is open twice while it is switched.
    files: Mutex<BTreeMap<String, usize>>,
    connections: AtomicUsize,
}

impl Shares {
    /// With `others` descriptors besides those that are open now.
    pub(crate) fn new(allowed: usize, others: usize, wanted: usize) -> Shares {
        let others = open().unwrap_or(0) + others + SLACK;
        let connections = AtomicUsize::new(wanted.min(allowed.saturating_sub(others)));
        Shares { allowed, others, wanted, files: Mutex::default(), connections }
    }

    /// Connections that there may be now.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// Warns where fewer connections are allowed than wanted.
    pub(crate) fn warn_of_few(&self) {
        let (most, Shares { wanted, allowed, .. }) = (self.connections(), self);
        if most < *wanted {
            tracing::warn!(
                wanted,
                most,
                allowed,
                "the system allows too few open files for all connections; raise it (ulimit -n, LimitNOFILE)"
            );
        }
    }

    /// Waits until there are descriptors for `files` files, at most [`CLOSING`]: those of a version whose place was taken are
    /// closed when its last query ends. Blocks.
    pub(crate) fn wait_free(&self, files: usize, stop: &AtomicBool) -> Result<(), Refusal> {
        let until = Instant::now() + CLOSING;
        loop {
            let others = open().unwrap_or(0);
            if others.saturating_add(files) <= self.allowed {
                return Ok(());
            }
            if Instant::now() >= until || stop.load(Ordering::Relaxed) {
                return Err(Refusal::Files { files, others, allowed: self.allowed });
            }
            thread::sleep(LOOK_EVERY);
        }
    }

    /// Puts by what an index of `files` files takes, instead of what it took before. Refuses what leaves no connection.
    pub(crate) fn put_by(&self, index: &str, files: usize) -> Result<(), Refusal> {
        let mut all = self.lock();
        let of_others = all.iter().filter(|(name, _)| *name != index).map(|(_, files)| files).sum::<usize>();
        let left = self.allowed.saturating_sub(self.others + of_others + 2 * files);
        if left == 0 {
            let (allowed, others) = (self.allowed, self.others + of_others);
            return Err(Refusal::Files { files, others, allowed });
        }
        all.insert(index.to_owned(), 2 * files);
        self.connections.store(self.wanted.min(left), Ordering::Relaxed);
        Ok(())
    }

    /// Gives back what an index took.
    pub(crate) fn give(&self, index: &str) {
        let mut all = self.lock();
        all.remove(index);
        let left = self.allowed.saturating_sub(self.others + all.values().sum::<usize>());
        self.connections.store(self.wanted.min(left), Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, usize>> {
        // Whole at every step.
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Descriptors, counted at the moment of asking.
#[derive(Debug)]
pub(crate) struct Descriptors;

impl Collector for Descriptors {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let mut gauge = |name: &str, help: &str, count: usize| {
            let gauge = ConstGauge::new(count as f64); // CAST: shown as a number
            let metric = encoder.encode_descriptor(name, help, None, gauge.metric_type())?;
            gauge.encode(metric)
        };
        gauge("descriptors", "Open files and connections of the process", open().unwrap_or(0))?;
        gauge("descriptors_max", "Open files and connections that the system allows it", allowed())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;
    use std::sync::Arc;

    use spandrel_engine::{Engine, EngineConfig};
    use spandrel_index::Index;

    use super::*;

    #[test]
    fn every_file_of_an_index_is_counted() {
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures");
        let mut counted = 0;
        for fixture in fs::read_dir(fixtures).unwrap().map(|entry| entry.unwrap().path()) {
            let Ok(files) = fs::read_dir(fixture.join("index")) else { continue };
            let dir = tempfile::tempdir().unwrap();
            for file in files.map(|entry| entry.unwrap().path()) {
                fs::copy(&file, dir.path().join(file.file_name().unwrap())).unwrap();
            }
            let index = Index::open(dir.path()).unwrap();
            let files = files_of(index.manifest());
            let _engine =
                Engine::open(Arc::new(index), EngineConfig { threads: 2, ..EngineConfig::default() })
                    .unwrap();
            // Other tests of the process have files open too.
            let dir = dir.path().canonicalize().unwrap();
            let links = fs::read_dir("/proc/self/fd").unwrap().map(|entry| entry.unwrap().path());
            let of_index =
                links.filter_map(|link| fs::read_link(link).ok()).filter(|file| file.starts_with(&dir));
            let open = of_index.count();
            // What is kept in memory may be closed again.
            assert!(open <= files && open + 4 >= files, "{open} files of {files} counted");
            counted += 1;
        }
        assert!(counted > 3, "{counted} fixtures");
    }

    #[test]
    fn connections_leave_descriptors_for_files() {
        let shares = Shares::new(10_000, 64, 9999);
        let most = shares.connections();
        assert!((9_000..=10_000 - 64 - SLACK).contains(&most), "{most}");
        shares.put_by("one", 10).unwrap();
        assert_eq!(shares.connections(), most - 20);
        shares.put_by("two", 1010).unwrap();
        assert_eq!(shares.connections(), most - 20 - 2020);
        // The same index once more, with fewer files.
        shares.put_by("two", 15).unwrap();
        assert_eq!(shares.connections(), most - 20 - 30);
        let refused = shares.put_by("three", 5000).unwrap_err();
        assert!(matches!(refused, Refusal::Files { files: 5000, allowed: 10_000, .. }), "{refused}");
        assert_eq!(shares.connections(), most - 20 - 30);
        shares.give("two");
        assert_eq!(shares.connections(), most - 20);
        assert_eq!(Shares::new(100, 64, 10).connections(), 0);
        assert_eq!(Shares::new(10_000, 64, 10).connections(), 10);
        assert!(raise() >= open().unwrap());
        let few = Shares::new(open().unwrap() + 100, 0, 10);
        let stopped = AtomicBool::new(true);
        assert!(few.wait_free(5, &stopped).is_ok() && few.wait_free(5000, &stopped).is_err());
    }
}
