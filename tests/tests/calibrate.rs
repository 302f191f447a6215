//! Calibration: the default reaches its recall, depends on the index alone, and its failures lose nothing.
mod failing;
mod given;

use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use spandrel_builder::filing::ReplicaRule;
use spandrel_builder::{BuildConfig, BuildReport, Calibrate, Silent, Unpublished, recalibrate};
use spandrel_datasets::Rows;
use spandrel_engine::{
    Aim, Answer, CalibrateError, CalibrateLimits, CalibrateParams, Engine, Limit, ListFate, Pruning,
    SearchParams, Stop, calibrate,
};
use spandrel_index::codes::CodeSpec;
use spandrel_index::format::{RecallCurves, RecallPoint, RecallSource};
use spandrel_index::{DType, Index, Metric, OpenOptions, Tier};
use spandrel_tests::{Base, CALIBRATOR, Calibrator, LIMITS, clustered, coded, config};

use crate::support::{engine_config, every_list, identity, open_engine};

fn build(base: &Base, config: &BuildConfig) -> BuildReport {
    base.build_watched(config, Some(&CALIBRATOR), &Silent).unwrap()
}

/// Calibrates a published index.
fn calibrated(dir: &Path, limits: CalibrateLimits) -> Result<Option<RecallCurves>, CalibrateError> {
    let index = Index::open(dir).unwrap();
    calibrate(dir, index.manifest(), CalibrateParams::new(limits), &mut |_| true)
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
        build(&base, &config);
        let engine = open_engine(dir.path());
        let strangers = clustered(dtype, 16, 500, 2);
        let truth = engine.search(strangers.bytes(), &every_list(10)).unwrap();
        let answers = engine.search(strangers.bytes(), &SearchParams::new(10)).unwrap();
        let found = recall(metric, &answers, &truth);
        let index = engine.index();
        let curves = index.recall().unwrap();
        assert!((0.93..0.995).contains(&found), "{what}: {found} by {curves:?}");
        assert_eq!((curves.source, curves.confidence), (RecallSource::Rows, None));
        let curve = |tier| curves.of(tier).find(|curve| curve.k == 10).unwrap();
        let on_ssd = curve(Tier::Ssd);
        assert!((6..=32).contains(&on_ssd.points.len()), "{what}: {on_ssd:?}");
        assert!(on_ssd.points[0].recall < 0.7 && on_ssd.points.last().unwrap().recall > 0.99, "{what}");
        assert!(on_ssd.points.iter().all(|point| point.lists < index.lists()), "{what}");
        assert!(code != CodeSpec::Full || on_ssd.points.iter().all(|point| point.rerank_errors == 0.0));
        assert_eq!(curve(Tier::Memory).vectors, codes, "{what}");
        let default = Pruning::of(index, 10, Aim::at(0.95));
        if codes == Tier::Memory {
            let options = OpenOptions { vectors: Some(Tier::Memory), ..OpenOptions::default() };
            let index = Arc::new(Index::open_with(dir.path(), options).unwrap());
            let in_memory = Pruning::of(&index, 10, Aim::at(0.95));
            // More of them are compared, of fewer lists.
            assert!(in_memory.max_lists <= default.max_lists, "{what}: {in_memory:?}, {default:?}");
            let engine = Engine::open(index, engine_config()).unwrap();
            let answers = engine.search(strangers.bytes(), &SearchParams::new(10)).unwrap();
            let found = recall(metric, &answers, &truth);
            assert!((0.93..0.995).contains(&found), "{what}: {found} by {in_memory:?}");
        }
    }
}

/// An index with codes in memory or exact vectors on SSD, calibrated, and queries with their truth.
struct Asked {
    _dir: tempfile::TempDir,
    engine: Engine,
    strangers: Rows,
    truth: Vec<Answer>,
}

impl Asked {
    fn build(codes: CodeSpec) -> Asked {
        let dir = tempfile::tempdir().unwrap();
        let base = Base::new(clustered(DType::U8, 16, 12_000, 1));
        let config = match codes {
            CodeSpec::Full => config(Metric::L2, dir.path()),
            _ => coded(Metric::L2, codes, Tier::Memory, dir.path()),
        };
        build(&base, &config);
        let engine = open_engine(dir.path());
        let strangers = clustered(DType::U8, 16, 500, 2);
        let truth = engine.search(strangers.bytes(), &every_list(10)).unwrap();
        Asked { _dir: dir, engine, strangers, truth }
    }

    fn ask(&self, params: &SearchParams) -> Vec<Answer> {
        self.engine.search(self.strangers.bytes(), params).unwrap()
    }
}

#[test]
fn a_recall_that_is_asked_for_is_found_and_answers_say_so() {
    let asked = Asked::build(CodeSpec::Axes { bytes: 12 });
    let mut work = Vec::new();
    for target in [0.8, 0.9, 0.95, 0.99] {
        let answers = asked.ask(&SearchParams { recall: Some(target), ..SearchParams::new(10) });
        let promise = answers[0].promise.unwrap();
        assert!((promise.expected.unwrap() - target).abs() < 1e-9 && promise.reached(), "{promise:?}");
        let found = recall(Metric::L2, &answers, &asked.truth);
        // Three standard errors, and what rows know of strangers.
        let slack = 0.01 + 0.2 * (1.0 - target);
        assert!(found > target - slack && found < target + slack + 0.02, "{target}: {found}");
        work.push(answers.iter().map(|answer| answer.work.vectors_scanned).sum::<u64>());
    }
    assert!(work.is_sorted_by(|a, b| a < b), "{work:?}");
    let default = asked.ask(&SearchParams::new(10));
    let named = asked.ask(&SearchParams { recall: Some(0.95), ..SearchParams::new(10) });
    let ids = |answers: &[Answer]| answers.iter().map(|a| a.neighbours.clone()).collect::<Vec<_>>();
    assert_eq!((ids(&default), default[0].promise), (ids(&named), named[0].promise));
}

/// All lists of a small set are searched for every recall: what is compared makes the difference.
#[test]
fn a_small_set_gives_the_recall_that_is_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let base = Base::new(clustered(DType::U8, 32, 3000, 1));
    build(&base, &coded(Metric::L2, CodeSpec::RaBitQ { bits: 1 }, Tier::Memory, dir.path()));
    let engine = open_engine(dir.path());
    let strangers = clustered(DType::U8, 32, 500, 2);
    let truth = engine.search(strangers.bytes(), &every_list(10)).unwrap();
    let mut compared = Vec::new();
    for target in [0.9, 0.95, 0.99] {
        let asked = SearchParams { recall: Some(target), ..SearchParams::new(10) };
        let answers = engine.search(strangers.bytes(), &asked).unwrap();
        let promise = answers[0].promise.unwrap();
        assert!(promise.reached(), "{promise:?}");
        let found = recall(Metric::L2, &answers, &truth);
        assert!(found > target - 0.01 - 0.2 * (1.0 - target), "{target}: {found}");
        compared.push(answers.iter().map(|answer| u64::from(answer.work.reranked)).sum::<u64>());
    }
    assert!(compared.is_sorted() && compared[0] < compared[2], "{compared:?}");
}

#[test]
fn searches_of_codes_in_memory_end_where_they_have_found_enough() {
    let asked = Asked::build(CodeSpec::Axes { bytes: 12 });
    let index = asked.engine.index();
    let curve = index.recall().unwrap().of(Tier::Ssd).find(|curve| curve.k == 10).unwrap();
    assert!(curve.stop.is_some() && curve.points.iter().any(|point| point.log_odds.is_some()), "{curve:?}");
    let target = 0.98;
    let usual = SearchParams { recall: Some(target), explain: true, ..SearchParams::new(10) };
    let constant = Pruning::of(index, 10, Aim::at(target));
    // No more lists than that: what was learned does not count.
    let counted = asked.ask(&SearchParams { max_lists: Some(constant.max_lists), ..usual.clone() });
    assert!(counted.iter().all(|answer| answer.work.lists == constant.max_lists), "{constant:?}");
    let scanned = |answers: &[Answer]| answers.iter().map(|a| a.work.vectors_scanned).sum::<u64>();
    let found = asked.ask(&usual);
    assert!(10 * scanned(&found) < 9 * scanned(&counted), "{} {}", scanned(&found), scanned(&counted));
    let (few, many) = (recall(Metric::L2, &found, &asked.truth), recall(Metric::L2, &counted, &asked.truth));
    assert!(few > many - 0.01, "{few} {many}");
    for answer in &found {
        let explanation = answer.explanation.as_ref().unwrap();
        let searched = explanation.lists.items.iter().filter(|list| list.fate.is_searched());
        assert_eq!(searched.map(|list| u64::from(list.scanned)).sum::<u64>(), answer.work.vectors_scanned);
    }
    let ended = |answer: &&Answer| answer.explanation.as_ref().unwrap().stop == Stop::Enough;
    let ended: Vec<u32> = found.iter().filter(ended).map(|answer| answer.work.lists).collect();
    assert!(2 * ended.len() > found.len() && ended.iter().max() > Some(&constant.max_lists), "{ended:?}");
    // A limit under what some searches take is kept by a constant number.
    let held = asked.ask(&SearchParams { max_lists: Some(constant.max_lists), ..usual });
    assert!(held.iter().all(|answer| answer.work.lists == constant.max_lists));
}

/// Says what it was told.
struct Says(RecallCurves);

impl Calibrate for Says {
    fn calibrate(
        &self,
        _: Unpublished<'_>,
        _: &mut dyn FnMut(u64) -> bool,
    ) -> Result<Option<RecallCurves>, Box<dyn Error + Send + Sync>> {
        Ok(Some(self.0.clone()))
    }
}

/// A whole list more for every query found 0.05 more than was asked for in 768 dimensions, where four lists hold 0.8.
#[test]
fn a_recall_between_two_numbers_of_lists_takes_the_last_for_a_share_of_the_queries() {
    let dir = tempfile::tempdir().unwrap();
    let base = Base::new(clustered(DType::U8, 16, 12_000, 1));
    build(&base, &coded(Metric::L2, CodeSpec::Axes { bytes: 12 }, Tier::Memory, dir.path()));
    let mut curves = Index::open(dir.path()).unwrap().recall().unwrap().clone();
    for curve in &mut curves.curves {
        let last = curve.points.pop().unwrap();
        let point = |lists, recall| RecallPoint { lists, recall, epsilon: None, log_odds: None, ..last };
        (curve.stop, curve.points) = (None, vec![point(3, 0.6), point(4, 0.9)]);
    }
    recalibrate(dir.path(), &Says(curves), &Silent, &AtomicBool::new(false)).unwrap().unwrap();
    let engine = open_engine(dir.path());
    let strangers = clustered(DType::U8, 16, 500, 2);
    let ask = |recall| {
        let params = SearchParams { recall: Some(recall), explain: true, ..SearchParams::new(10) };
        engine.search(strangers.bytes(), &params).unwrap()
    };
    let lists = |recall| ask(recall).iter().map(|answer| answer.work.lists).collect::<Vec<_>>();
    for (recall, expected) in [(0.6, 0.0), (0.675, 0.25), (0.8, 2.0 / 3.0), (0.9, 1.0)] {
        let found = lists(recall);
        assert!(found.iter().all(|lists| [3, 4].contains(lists)), "{recall}: {found:?}");
        let share = found.iter().filter(|&&lists| lists == 4).count() as f64 / 500.0;
        // Four standard errors.
        let error = (expected * (1.0 - expected) / 500.0_f64).sqrt();
        assert!((share - expected).abs() <= 4.0 * error, "{recall}: {share}");
        assert_eq!(found, lists(recall), "a query always takes the same");
    }
    for answer in ask(0.8) {
        let told = answer.explanation.as_ref().unwrap();
        let planned = told.lists.items.iter().filter(|list| list.fate == ListFate::Planned).count() as u32;
        assert_eq!((told.lists_planned, planned), (answer.work.lists, answer.work.lists));
        assert_eq!((told.lists.items.len() as u32, told.stop), (planned, Stop::Count));
    }
}

#[test]
fn what_holds_a_query_back_is_said() {
    let asked = Asked::build(CodeSpec::Axes { bytes: 12 });
    let usual = || SearchParams { recall: Some(0.95), ..SearchParams::new(10) };
    let promise = |params: SearchParams| asked.ask(&params)[0].promise.unwrap();
    // More than a thousand queries can say, and than the curve has.
    let most = promise(SearchParams { recall: Some(1.0), ..usual() });
    assert!(!most.reached() && most.expected.is_some_and(|expected| expected > 0.99), "{most:?}");
    let capped = promise(SearchParams { max_lists: Some(3), ..usual() });
    assert!(!capped.reached() && capped.expected.is_some_and(|expected| expected < 0.9), "{capped:?}");
    let roomy = promise(SearchParams { max_lists: Some(600), ..usual() });
    assert!(roomy.reached(), "{roomy:?}");
    let lowered = promise(SearchParams { effort: 0.5, ..usual() });
    assert!(lowered.expected.is_some_and(|expected| (0.49..0.9).contains(&expected)), "{lowered:?}");
    let least = promise(SearchParams { effort: 0.0, ..usual() });
    assert!(least.expected.is_some_and(|expected| (expected - 0.5).abs() < 1e-9), "{least:?}");
    let few = asked.ask(&SearchParams { max_bytes: Some(4096), ..usual() });
    let cut = few.iter().find(|answer| answer.limited_by == Some(Limit::MaxBytes)).unwrap();
    assert_eq!(cut.promise.unwrap().expected, None);
    // Lists of exact vectors are left out whole.
    let exact = Asked::build(CodeSpec::Full);
    let few = exact.ask(&SearchParams { max_bytes: Some(4 << 10), ..usual() });
    assert!(few.iter().all(|answer| answer.limited_by == Some(Limit::MaxBytes)));
    let said =
        few.iter().map(|answer| answer.promise.unwrap().expected.unwrap()).sum::<f64>() / few.len() as f64;
    let found = recall(Metric::L2, &few, &exact.truth);
    assert!(said < 0.95 && (said - 0.03..said + 0.05).contains(&found), "{said} said, {found} found");
    let less = spandrel_engine::Rerank::Count(10);
    assert_eq!(promise(SearchParams { rerank: Some(less), ..usual() }).expected, None);
    let more = spandrel_engine::Rerank::Errors(4.0);
    assert!(promise(SearchParams { rerank: Some(more), ..usual() }).reached());
    // More neighbours than any curve is for.
    assert_eq!(promise(SearchParams { recall: Some(0.9), ..SearchParams::new(11_000) }).expected, None);
    for named in [
        SearchParams { epsilon: Some(0.5), ..SearchParams::new(10) },
        SearchParams { max_lists: Some(9), ..SearchParams::new(10) },
    ] {
        assert_eq!(asked.ask(&named)[0].promise, None, "{named:?}");
    }
}

#[test]
fn curves_do_not_depend_on_threads_or_memory() {
    for (code, codes) in [(CodeSpec::Axes { bytes: 12 }, Tier::Memory), (CodeSpec::Full, Tier::Ssd)] {
        let dir = tempfile::tempdir().unwrap();
        let base = Base::new(clustered(DType::U8, 16, 12_000, 1));
        base.build(&coded(Metric::L2, code, codes, dir.path())).unwrap();
        let expected = calibrated(dir.path(), LIMITS).unwrap();
        let tiers = if codes == Tier::Memory { 2 } else { 1 };
        assert_eq!(expected.as_ref().unwrap().curves.len(), 6 * tiers, "{code}");
        // Without room for a cache, and with a query at a time.
        for (threads, memory_bytes) in [(1, 0), (3, 100 << 20)] {
            let found = calibrated(dir.path(), CalibrateLimits { threads, memory_bytes }).unwrap();
            assert_eq!(found, expected, "{code}, {threads} threads, {memory_bytes} bytes");
        }
    }
}

#[test]
fn bytes_do_not_depend_on_threads_or_memory_and_only_the_recall_on_calibration() {
    let dir = tempfile::tempdir().unwrap();
    let base = Base::new(clustered(DType::U8, 16, 9000, 1));
    let code = CodeSpec::RaBitQ { bits: 3 };
    let build = |name: &str, threads, memory_bytes, calibrated: bool| {
        let out = dir.path().join(name);
        let config = BuildConfig { threads, memory_bytes, ..coded(Metric::L2, code, Tier::Memory, &out) };
        let calibrator = Calibrator(CalibrateParams::new(CalibrateLimits { threads, memory_bytes }));
        base.build_watched(&config, calibrated.then_some(&calibrator as _), &Silent).unwrap();
        identity(&out)
    };
    let expected = build("two", 2, 1 << 30, true);
    assert!(build("one", 1, 200 << 20, true) == expected);
    assert!(build("three", 3, 100 << 20, true) == expected);
    let usual = build("usual", 2, 1 << 30, false);
    let differ: Vec<_> = expected.iter().filter(|&(name, bytes)| usual.get(name) != Some(bytes)).collect();
    let names: Vec<_> = differ.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["CURRENT", "manifest-1", "recall-1"]);
    assert_eq!(usual.len() + 1, expected.len());
}

#[test]
fn a_row_leaves_itself_out_by_its_own_id() {
    let dir = tempfile::tempdir().unwrap();
    let rows = clustered(DType::U8, 16, 9000, 1);
    let own = Base::with_ids(rows.clone(), (0..9000).map(|row| 5 * row + 3).collect());
    let calibrated = [("rows", Base::new(rows)), ("own", own)].map(|(name, base)| {
        let out = dir.path().join(name);
        build(&base, &coded(Metric::L2, CodeSpec::RaBitQ { bits: 3 }, Tier::Memory, &out)).recall.unwrap()
    });
    assert_eq!(calibrated[0].curves.len(), 10);
    assert_eq!(calibrated[0], calibrated[1]);
}

#[test]
fn rows_that_are_heads_are_calibrated_too() {
    let dir = tempfile::tempdir().unwrap();
    let base = Base::new(clustered(DType::U8, 16, 12_000, 1));
    let heads = spandrel_builder::cluster::HeadKind::Vectors;
    let replicas = ReplicaRule::Soar;
    let config = BuildConfig { heads, replicas, ..config(Metric::L2, dir.path()) };
    build(&base, &config);
    let index = Arc::new(Index::open(dir.path()).unwrap());
    let default = Pruning::of(&index, 10, Aim::at(0.95));
    let engine = Engine::open(index, engine_config()).unwrap();
    let strangers = clustered(DType::U8, 16, 500, 2);
    let truth = engine.search(strangers.bytes(), &every_list(10)).unwrap();
    let params = SearchParams { max_lists: Some(default.max_lists), ..SearchParams::new(10) };
    let found = recall(Metric::L2, &engine.search(strangers.bytes(), &params).unwrap(), &truth);
    assert!((0.93..0.99).contains(&found), "{found} by {default:?}");
}
