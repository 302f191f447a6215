//! What several of the modules need.
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use spandrel_engine::{Answer, Engine, EngineConfig, SearchParams, Work};
use spandrel_index::{Index, VerifyError, VerifyReport, verify};
use spandrel_io::{BackendChoice, Direct};

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
    EngineConfig { threads: 2, in_flight: 2, io: BackendChoice::Auto, direct: Direct::Auto }
}

pub(crate) fn open_engine(dir: &Path) -> Engine {
    Engine::open(Arc::new(Index::open(dir).unwrap()), engine_config()).unwrap()
}

/// Reads every list, so that the answer is exact.
pub(crate) fn every_list(k: usize) -> SearchParams {
    SearchParams { k, epsilon: None, max_lists: Some(u32::MAX), rerank: None, distances: Distances::Exact }
}

/// All of an answer that may not depend on how the engine runs: ids, bits of distances, work.
pub(crate) fn found(answers: &[Answer]) -> Vec<(Vec<(u64, u32)>, Work)> {
    let bits = |a: &Answer| a.neighbours.iter().map(|n| (n.id, n.distance.to_bits())).collect();
    answers.iter().map(|a| (bits(a), a.work)).collect()
}
