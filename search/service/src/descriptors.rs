//! Descriptors of the process: raised to what the system allows, counted, and checked against the connections.
use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::gauge::ConstGauge;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files of an index that are open: its seven sections, and once more lists, vectors and ids for queries. Those of its attributes,
/// one for each, come out of [`SLACK`].
const OF_INDEX: usize = 10;
/// Kept for the log, certificates, sockets that listen, and what is opened for a moment.
const SLACK: usize = 64;

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

/// Connections that `allowed` descriptors suffice for, beside those of the second port, of `indexes`, each of which is
/// open twice while it is switched, and of the readers of search threads.
pub(crate) fn connections(allowed: usize, pages: usize, indexes: usize, threads: usize) -> usize {
    let files = 2 * indexes.max(1) * OF_INDEX + threads;
    allowed.saturating_sub(open().unwrap_or(0) + files + pages + SLACK)
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
        let mut most = 0;
        for fixture in fs::read_dir(fixtures).unwrap().map(|entry| entry.unwrap().path()) {
            let Ok(files) = fs::read_dir(fixture.join("index")) else { continue };
            let dir = tempfile::tempdir().unwrap();
            for file in files.map(|entry| entry.unwrap().path()) {
                fs::copy(&file, dir.path().join(file.file_name().unwrap())).unwrap();
            }
            let index = Index::open(dir.path()).unwrap();
            let attributes = index.schema().attributes().len();
            let _engine =
                Engine::open(Arc::new(index), EngineConfig { threads: 2, ..EngineConfig::default() })
                    .unwrap();
            // Other tests of the process have files open too.
            let dir = dir.path().canonicalize().unwrap();
            let links = fs::read_dir("/proc/self/fd").unwrap().map(|entry| entry.unwrap().path());
            let of_index =
                links.filter_map(|link| fs::read_link(link).ok()).filter(|file| file.starts_with(&dir));
            most = most.max(of_index.count() - attributes);
        }
        // None of these has a graph over its heads.
        assert!((OF_INDEX - 1..=OF_INDEX).contains(&most), "{most} files, {OF_INDEX} counted");
    }

    #[test]
    fn connections_leave_descriptors_for_files() {
        let most = connections(10_000, 64, 2, 4);
        assert!((9_000..10_000 - 64 - 2 * 2 * OF_INDEX - 4).contains(&most), "{most}");
        assert_eq!(connections(100, 64, 1, 4), 0);
        assert!(raise() >= open().unwrap());
    }
}
