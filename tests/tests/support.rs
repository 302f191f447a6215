//! What several of the modules need.
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use spandrel_builder::testing::{Moment, StopAt};
use spandrel_builder::{BuildConfig, BuildError, BuildReport, Caller};
use spandrel_engine::{Answer, Engine, EngineConfig, Rerank, SearchParams, Work};
use spandrel_index::{Index, Metric, OpenOptions, Tier, VectorSource, VerifyError, VerifyReport, verify};
use spandrel_tests::Base;
pub(crate) use spandrel_tests::sweep::exact_distance;

/// Every file that belongs to an index's identity, by name.
pub(crate) fn identity(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file())
        .map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), path))
        .filter(|(name, _)| !name.starts_with("build-stats") && name != "LOCK")
        .map(|(name, path)| (name, fs::read(path).unwrap()))
        .collect()
}

/// Fails naming the files that differ, not with their bytes.
#[track_caller]
pub(crate) fn assert_same(
    found: &BTreeMap<String, Vec<u8>>,
    expected: &BTreeMap<String, Vec<u8>>,
    what: &str,
) {
    assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>(), "{what}: files");
    for (name, bytes) in expected {
        let found = &found[name];
        let differs = found.iter().zip(bytes).position(|(a, b)| a != b);
        let place = differs.or((found.len() != bytes.len()).then(|| found.len().min(bytes.len())));
        assert_eq!(place, None, "{what}: {name} differs first at this byte");
    }
}

/// Copies the files of a folder.
pub(crate) fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
    }
}

pub(crate) fn verify_index(dir: &Path, deep: bool) -> Result<VerifyReport, VerifyError> {
    verify(dir, deep, &mut |_| {}, &AtomicBool::new(false))
}

pub(crate) fn engine_config() -> EngineConfig {
    EngineConfig { threads: 2, in_flight: 2, ..EngineConfig::default() }
}

pub(crate) fn open_engine(dir: &Path) -> Engine {
    Engine::open(Arc::new(Index::open(dir).unwrap()), engine_config()).unwrap()
}

/// Every way to keep an index of codes.
pub(crate) const TIERS: [OpenOptions; 4] = [
    OpenOptions { codes: Some(Tier::Ssd), vectors: Some(Tier::Ssd), ids: false },
    OpenOptions { codes: Some(Tier::Ssd), vectors: Some(Tier::Memory), ids: false },
    OpenOptions { codes: Some(Tier::Memory), vectors: Some(Tier::Ssd), ids: false },
    OpenOptions { codes: Some(Tier::Memory), vectors: Some(Tier::Memory), ids: false },
];

pub(crate) fn open_engine_with(dir: &Path, options: OpenOptions) -> Engine {
    Engine::open(Arc::new(Index::open_with(dir, options).unwrap()), engine_config()).unwrap()
}

/// Reads every list, and compares every vector that codes stand for, so that the answer is exact.
pub(crate) fn every_list(k: usize) -> SearchParams {
    let rerank = Some(Rerank::Count(u32::MAX));
    SearchParams { max_lists: Some(u32::MAX), rerank, ..SearchParams::new(k) }
}

/// Fails unless every neighbour has the distance that its vector truly has, in order, each once. Ids are row numbers
/// unless `base` has its own.
#[track_caller]
pub(crate) fn assert_true(metric: Metric, base: &Base, query: &[u8], answer: &Answer, what: &str) {
    let (dtype, rows) = (base.rows.dtype(), base.rows.len() as usize); // CAST: rows in memory
    for neighbour in &answer.neighbours {
        let row = match &base.ids {
            None => neighbour.id as usize, // CAST: a row number
            Some(_) => (0..rows).find(|&row| base.id(row) == neighbour.id).expect("an id of the base"),
        };
        let exact = exact_distance(metric, dtype, query, base.rows.row(row));
        let near = (f64::from(neighbour.distance) - exact).abs() <= 1e-5 * (1.0 + exact.abs());
        assert!(near, "{what}: {neighbour:?}, truly at {exact}");
    }
    // Smaller is nearer, but for inner products.
    let sign = if metric == Metric::InnerProduct { -1.0 } else { 1.0 };
    let keys = answer.neighbours.iter().map(|n| (sign * n.distance, n.id)).collect::<Vec<_>>();
    assert!(keys.windows(2).all(|pair| pair[0] < pair[1]), "{what}: {keys:?}");
}

/// Fails unless the neighbours are true and no vector left out is nearer, rounding apart.
#[track_caller]
pub(crate) fn assert_exact(metric: Metric, base: &Base, query: &[u8], answer: &Answer, what: &str) {
    assert_true(metric, base, query, answer, what);
    let dtype = base.rows.dtype();
    let mut exact: Vec<f64> = (0..base.rows.len() as usize) // CAST: rows in memory
        .map(|row| exact_distance(metric, dtype, query, base.rows.row(row)))
        .collect();
    exact.sort_by(f64::total_cmp);
    if metric == Metric::InnerProduct {
        exact.reverse();
    }
    for (neighbour, exact) in answer.neighbours.iter().zip(exact) {
        let near = (f64::from(neighbour.distance) - exact).abs() <= 1e-5 * (1.0 + exact.abs());
        assert!(near, "{what}: {neighbour:?}, expected one at {exact}");
    }
}

/// All of an answer that may not depend on how the engine runs: ids, bits of distances, work.
pub(crate) fn found(answers: &[Answer]) -> Vec<(Vec<(u64, u32)>, Work)> {
    let bits = |a: &Answer| a.neighbours.iter().map(|n| (n.id, n.distance.to_bits())).collect();
    answers.iter().map(|a| (bits(a), a.work)).collect()
}

/// Builds, stopped at the beginning of every phase in turn and gone on with.
pub(crate) fn build_phase_by_phase(
    config: &BuildConfig,
    build: impl Fn(&BuildConfig, Caller<'_>) -> Result<BuildReport, BuildError>,
) {
    let mut config = config.clone();
    for phases in 1.. {
        let progress = StopAt::new(Moment::Phases(phases));
        let caller = Caller { progress: &progress, stop: &progress.stop, calibrate: None };
        match build(&config, caller) {
            Err(BuildError::Stopped) => config.resume = true,
            Ok(_) => {
                assert!(phases > 5, "{phases} phases");
                return;
            }
            Err(error) => panic!("{error}"),
        }
    }
}
