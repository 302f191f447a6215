//! An index of several segments is calibrated as one, and keeps what is promised then.
use std::sync::atomic::AtomicBool;

use spandrel_builder::filing::ReplicaRule;
use spandrel_builder::{BuildConfig, Silent, recalibrate};
use spandrel_engine::{CalibrateParams, ExactSearch, GivenQueries, Truth, recalls};
use spandrel_index::format::{RecallCurves, RecallSource};
use spandrel_tests::{CALIBRATOR, Calibrator};

use super::*;

/// More than an index whose lists are all searched has.
const SIZES: [usize; 2] = [4500, 7500];
const QUERIES: usize = 300;

/// How an index is built in a folder.
type Build = fn(&Path) -> BuildConfig;

/// Two segments, each with vectors from all over.
fn built(config: impl Fn(&Path) -> BuildConfig) -> TempDir {
    let rows = clustered(DType::U8, DIM, SIZES.iter().sum(), 1);
    let many = tempfile::tempdir().unwrap();
    let mut first = 0;
    let parts = SIZES.map(|size| {
        let bytes = &rows.bytes()[first * rows.row_bytes()..(first + size) * rows.row_bytes()];
        let ids = (first..first + size).map(|row| 3 * row as u64 + 1).collect();
        first += size;
        let dir = tempfile::tempdir().unwrap();
        let part = Base::with_ids(Rows::new(DType::U8, DIM, bytes.to_vec()).unwrap(), ids);
        part.build(&config(dir.path())).unwrap();
        dir
    });
    merge(&parts.iter().map(TempDir::path).collect::<Vec<_>>(), many.path());
    many
}

fn calibrated(dir: &Path, given: Option<GivenQueries<'_>>) -> RecallCurves {
    let calibrator = Calibrator(CalibrateParams { given, ..CALIBRATOR.0 });
    recalibrate(dir, &calibrator, &Silent, &AtomicBool::new(false)).unwrap().unwrap().recall
}

/// The true neighbours of queries, `K` each: ids and distances.
fn truth_of(engine: &Engine, queries: &Rows) -> (Vec<u64>, Vec<f32>) {
    let search = ExactSearch::new(engine.index(), queries.bytes().to_vec().into(), K, Vec::new()).unwrap();
    let nearest = engine.exact(&Arc::new(search), &mut |_| true).unwrap();
    nearest.neighbours.iter().flatten().map(|neighbour| (neighbour.id, neighbour.distance)).unzip()
}

#[test]
fn segments_are_calibrated_together_and_queries_find_what_is_promised() {
    let kinds: [(&str, Build); 3] = [
        ("codes in memory", |out| coded(Metric::L2, CodeSpec::Axes { bytes: 12 }, Tier::Memory, out)),
        ("copies on SSD", |out| BuildConfig {
            replicas: ReplicaRule::Soar,
            ..coded(Metric::L2, CodeSpec::Axes { bytes: 12 }, Tier::Ssd, out)
        }),
        ("exact vectors", |out| config(Metric::L2, out)),
    ];
    for (name, config) in kinds {
        let dir = built(|out| BuildConfig { lists: ListCount::Size(40), ..config(out) });
        let rows = calibrated(dir.path(), None);
        assert_eq!(rows.source, RecallSource::Rows);
        let engine = open_engine_with(dir.path(), OpenOptions::default());
        assert_eq!((engine.index().segments().len(), engine.index().recall()), (2, Some(&rows)), "{name}");
        let [asked, others] = [2, 3].map(|seed| clustered(DType::U8, DIM, QUERIES, seed));
        let (ids, distances) = truth_of(&engine, &asked);
        let truth = Truth { ids: &ids, distances: &distances, columns: K };
        for recall in [0.8, 0.95] {
            let params = SearchParams { recall: Some(recall), ..SearchParams::new(K) };
            let answers = search(&engine, &asked, &params);
            let promise = answers[0].promise.unwrap();
            assert!(promise.reached(), "{name}: {promise:?}");
            let found = recalls(Metric::L2, &answers, truth, K).unwrap();
            let mean = found.iter().sum::<f64>() / QUERIES as f64;
            let lists =
                answers.iter().map(|answer| u64::from(answer.work.lists)).sum::<u64>() / QUERIES as u64;
            println!("{name}: {recall} asked, {mean} found in {lists} of {} lists", engine.index().lists());
            assert!(mean > recall - 0.015, "{name}: {recall} asked, {mean} found");
            assert!(lists < u64::from(engine.index().lists()) / 2, "{name}: {lists}");
        }
        // Queries that are given, with a truth and without one: the neighbours are the same, and so is what they say.
        let (ids, distances) = truth_of(&engine, &others);
        let truth = Some(Truth { ids: &ids, distances: &distances, columns: K });
        let given = |truth| Some(GivenQueries { rows: others.bytes(), truth });
        let [told, computed] = [truth, None].map(|truth| calibrated(dir.path(), given(truth)));
        let of_ten =
            |curves: &RecallCurves| curves.curves.iter().find(|curve| curve.k == 10).cloned().unwrap();
        assert_eq!(of_ten(&told), of_ten(&computed), "{name}");
        assert_eq!(told.source, RecallSource::Queries);
        let opened = open_engine_with(dir.path(), OpenOptions::default());
        assert_eq!(opened.index().recall(), Some(&computed), "{name}: after a restart");
    }
}
