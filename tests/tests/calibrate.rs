//! Calibration: the default reaches its recall, depends on the index alone, and its failures lose nothing.
use std::error::Error;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use spandrel_builder::filing::ReplicaRule;
use spandrel_builder::{
    BuildConfig, BuildError, BuildReport, Calibrate, Calibration, Progress, Silent, Unpublished,
};
use spandrel_engine::{Answer, CalibrateError, CalibrateLimits, Calibrated, Engine, SearchParams, calibrate};
use spandrel_index::codes::CodeSpec;
use spandrel_index::format::{BODY_AT, OpenError, current};
use spandrel_index::{DType, Index, Metric, OpenOptions, Tier};
use spandrel_io::FolderStore;
use spandrel_tests::{Base, Calibrator, LIMITS, clustered, coded, config};

use crate::support::{engine_config, every_list, identity, open_engine};

fn build(base: &Base, config: &BuildConfig) -> BuildReport {
    base.build_watched(config, Some(&Calibrator(LIMITS)), &Silent).unwrap()
}

/// Calibrates a published index.
fn calibrated(dir: &Path, limits: CalibrateLimits) -> Result<Calibrated, CalibrateError> {
    let index = Index::open(dir).unwrap();
    calibrate(dir, index.manifest(), limits, &mut |_| true)
}

/// The share of the truth that was found, by distance.
fn recall(metric: Metric, answers: &[Answer], truth: &[Answer]) -> f64 {
    let worse = |d: f32, kth: f32| if metric == Metric::InnerProduct { d < kth } else { d > kth };
    let hits = |(answer, truth): (&Answer, &Answer)| {
        let kth = truth.neighbours[9].distance;
        answer.neighbours.iter().filter(|n| !worse(n.distance, kth)).count()
    };
    answers.iter().zip(truth).map(hits).sum::<usize>() as f64 / (10 * truth.len()) as f64
}

#[test]
fn defaults_reach_their_recall_with_less_than_everything() {
    let axes = CodeSpec::Axes { bytes: 12 };
    for (metric, dtype, code, codes) in [
        (Metric::L2, DType::U8, axes, Tier::Memory),
        (Metric::L2, DType::U8, axes, Tier::Ssd),
        (Metric::Cosine, DType::F16, CodeSpec::RaBitQ { bits: 2 }, Tier::Memory),
        (Metric::InnerProduct, DType::F32, CodeSpec::RaBitQ { bits: 3 }, Tier::Ssd),
        (Metric::L2, DType::F32, CodeSpec::Full, Tier::Ssd),
    ] {
        let what = format!("{metric} {dtype} {code} {codes}");
        let dir = tempfile::tempdir().unwrap();
        let base = Base::new(clustered(dtype, 16, 12_000, 1));
        // As the command builds them: codes in memory without replicas, lists on SSD with two copies.
        let replicas = if codes == Tier::Ssd { ReplicaRule::Soar } else { ReplicaRule::None };
        let config = BuildConfig { replicas, ..coded(metric, code, codes, dir.path()) };
        let manifest = build(&base, &config).manifest;
        let engine = open_engine(dir.path());
        let strangers = clustered(dtype, 16, 500, 2);
        let truth = engine.search(strangers.bytes(), &every_list(10)).unwrap();
        let answers = engine.search(strangers.bytes(), &SearchParams::new(10)).unwrap();
        let found = recall(metric, &answers, &truth);
        assert!((0.93..0.995).contains(&found), "{what}: {found} by {:?}", manifest.search_cells);
        let stats = fs::read(dir.path().join("build-stats-1.json")).unwrap();
        let stats: serde_json::Value = serde_json::from_slice(&stats).unwrap();
        let points = stats["calibration"].as_array().unwrap();
        let lists: Vec<u64> = points.iter().map(|point| point["max_lists"].as_u64().unwrap()).collect();
        let (lists, in_memory) = lists.split_at(3);
        // Vectors in memory: more of them are compared, of fewer lists.
        assert_eq!(in_memory.len(), if codes == Tier::Memory { 3 } else { 0 }, "{what}: {points:?}");
        assert!(in_memory.iter().zip(lists).all(|(fewer, lists)| fewer <= lists), "{what}: {points:?}");
        let default = manifest.search_default(10, Tier::Memory);
        if codes == Tier::Memory {
            assert_eq!(in_memory.get(1), Some(&u64::from(default.max_lists)), "{what}");
            let options = OpenOptions { vectors: Some(Tier::Memory), ..OpenOptions::default() };
            let index = Arc::new(Index::open_with(dir.path(), options).unwrap());
            assert_eq!(index.search_default(10), default);
            let engine = Engine::open(index, engine_config()).unwrap();
            let answers = engine.search(strangers.bytes(), &SearchParams::new(10)).unwrap();
            let found = recall(metric, &answers, &truth);
            assert!((0.93..0.995).contains(&found), "{what}: {found} by {default:?}");
        }
        assert!(lists.is_sorted() && lists[2] < manifest.segments[0].lists, "{what}: {lists:?}");
        assert_eq!(lists[1], u64::from(manifest.search_default(10, Tier::Ssd).max_lists), "{what}");
        assert_eq!(points[0]["rerank_errors"].is_null(), code == CodeSpec::Full, "{what}");
    }
}

#[test]
fn points_do_not_depend_on_threads_or_memory() {
    for (code, codes) in [(CodeSpec::Axes { bytes: 12 }, Tier::Memory), (CodeSpec::Full, Tier::Ssd)] {
        let dir = tempfile::tempdir().unwrap();
        let base = Base::new(clustered(DType::U8, 16, 12_000, 1));
        base.build(&coded(Metric::L2, code, codes, dir.path())).unwrap();
        let expected = calibrated(dir.path(), LIMITS).unwrap();
        let tiers = if codes == Tier::Memory { 2 } else { 1 };
        assert_eq!((expected.points.len(), expected.cells.len()), (3 * tiers, 5 * tiers), "{code}");
        // Without room for a cache, and with a query at a time.
        for (threads, memory_bytes) in [(1, 0), (3, 100 << 20)] {
            let found = calibrated(dir.path(), CalibrateLimits { threads, memory_bytes }).unwrap();
            assert_eq!(found, expected, "{code}, {threads} threads, {memory_bytes} bytes");
        }
    }
}

#[test]
fn bytes_do_not_depend_on_threads_or_memory_and_only_the_manifest_on_calibration() {
    let dir = tempfile::tempdir().unwrap();
    let base = Base::new(clustered(DType::U8, 16, 9000, 1));
    let code = CodeSpec::RaBitQ { bits: 3 };
    let build = |name: &str, threads, memory_bytes, calibrated: bool| {
        let out = dir.path().join(name);
        let config = BuildConfig { threads, memory_bytes, ..coded(Metric::L2, code, Tier::Memory, &out) };
        let calibrator = Calibrator(CalibrateLimits { threads, memory_bytes });
        base.build_watched(&config, calibrated.then_some(&calibrator as _), &Silent).unwrap();
        identity(&out)
    };
    let expected = build("two", 2, 1 << 30, true);
    assert!(build("one", 1, 200 << 20, true) == expected);
    assert!(build("three", 3, 100 << 20, true) == expected);
    let usual = build("usual", 2, 1 << 30, false);
    let differ: Vec<_> = expected.iter().filter(|(name, bytes)| usual[*name] != **bytes).collect();
    let names: Vec<_> = differ.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["CURRENT", "manifest-1"]);
}

#[test]
fn a_row_leaves_itself_out_by_its_own_id() {
    let dir = tempfile::tempdir().unwrap();
    let rows = clustered(DType::U8, 16, 9000, 1);
    let own = Base { ids: Some((0..9000).map(|row| 5 * row + 3).collect()), rows: rows.clone() };
    let calibrated = [("rows", Base::new(rows)), ("own", own)].map(|(name, base)| {
        let out = dir.path().join(name);
        build(&base, &coded(Metric::L2, CodeSpec::RaBitQ { bits: 3 }, Tier::Memory, &out));
        let stats = fs::read(out.join("build-stats-1.json")).unwrap();
        serde_json::from_slice::<serde_json::Value>(&stats).unwrap()["calibration"].clone()
    });
    assert_eq!(calibrated[0].as_array().unwrap().len(), 6);
    assert_eq!(calibrated[0], calibrated[1]);
}

#[test]
fn rows_that_are_heads_are_calibrated_too() {
    let dir = tempfile::tempdir().unwrap();
    let base = Base::new(clustered(DType::U8, 16, 12_000, 1));
    let heads = spandrel_builder::cluster::HeadKind::Vectors;
    let replicas = ReplicaRule::Soar;
    let config = BuildConfig { heads, replicas, ..config(Metric::L2, dir.path()) };
    let default = build(&base, &config).manifest.search_default(10, Tier::Ssd);
    let engine = Engine::open(Arc::new(Index::open(dir.path()).unwrap()), engine_config()).unwrap();
    let strangers = clustered(DType::U8, 16, 500, 2);
    let truth = engine.search(strangers.bytes(), &every_list(10)).unwrap();
    let params = SearchParams { max_lists: Some(default.max_lists), ..SearchParams::new(10) };
    let found = recall(Metric::L2, &engine.search(strangers.bytes(), &params).unwrap(), &truth);
    assert!((0.93..0.99).contains(&found), "{found} by {default:?}");
}

#[test]
fn what_cannot_be_calibrated_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let base = Base::new(clustered(DType::U8, 16, 4000, 1));
    base.build(&coded(Metric::L2, CodeSpec::RaBitQ { bits: 2 }, Tier::Memory, dir.path())).unwrap();
    let index = Index::open(dir.path()).unwrap();
    let stopped = calibrate(dir.path(), index.manifest(), LIMITS, &mut |_| false).unwrap_err();
    assert!(matches!(stopped, CalibrateError::Stopped), "{stopped}");
    // A bit in every page of vectors.
    let path = dir.path().join("vectors-1");
    let mut bytes = fs::read(&path).unwrap();
    bytes.iter_mut().skip(BODY_AT as usize).step_by(512).for_each(|byte| *byte ^= 1);
    fs::write(&path, bytes).unwrap();
    let damaged = calibrated(dir.path(), LIMITS).unwrap_err();
    // Vectors that fit in memory are read when the index is opened.
    assert!(matches!(damaged, CalibrateError::Open(OpenError::Checksum { .. })), "{damaged}");
}

/// Fails.
struct Failing;

impl Calibrate for Failing {
    fn calibrate(
        &self,
        _: Unpublished<'_>,
        _: &dyn Progress,
        _: &AtomicBool,
    ) -> Result<Option<Calibration>, Box<dyn Error + Send + Sync>> {
        Err("calibration refused".into())
    }
}

/// Has no opinion.
struct Shrugging;

impl Calibrate for Shrugging {
    fn calibrate(
        &self,
        _: Unpublished<'_>,
        _: &dyn Progress,
        _: &AtomicBool,
    ) -> Result<Option<Calibration>, Box<dyn Error + Send + Sync>> {
        Ok(None)
    }
}

#[test]
fn a_build_that_fails_to_calibrate_goes_on_with_or_without() {
    let dir = tempfile::tempdir().unwrap();
    let base = Base::new(clustered(DType::U8, 16, 4000, 1));
    let code = CodeSpec::RaBitQ { bits: 2 };
    let usual = coded(Metric::L2, code, Tier::Memory, &dir.path().join("usual"));
    base.build(&usual).unwrap();
    for (name, by) in [("without", None), ("shrugging", Some(&Shrugging as &dyn Calibrate))] {
        let mut config = coded(Metric::L2, code, Tier::Memory, &dir.path().join(name));
        let failed = base.build_watched(&config, Some(&Failing), &Silent).unwrap_err();
        assert!(matches!(failed, BuildError::Calibrate(_)), "{failed}");
        assert_eq!(failed.source().unwrap().to_string(), "calibration refused");
        assert!(
            matches!(current(&FolderStore::new(&config.out)), Err(OpenError::NotAnIndex { .. })),
            "nothing was published"
        );
        config.resume = true;
        base.build_watched(&config, by, &Silent).unwrap();
        assert!(identity(&config.out) == identity(&usual.out), "{name}");
    }
}
