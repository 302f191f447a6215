//! Searches within a radius against brute force.
mod calibrated;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use bytes::Bytes;
use spandrel_builder::BuildConfig;
use spandrel_builder::filing::ReplicaRule;
use spandrel_datasets::Rows;
use spandrel_engine::{
    Distances, Engine, Limit, Neighbour, ParamsError, RangeParams, RangeRequest, RangeSummary, SearchError,
};
use spandrel_index::codes::CodeSpec;
use spandrel_index::{DType, Metric, OpenOptions, Tier, VectorSource};
use spandrel_tests::sweep::exact_distance;
use spandrel_tests::{Base, clustered, coded, config, count};

use crate::support::{TIERS, open_engine, open_engine_with};

const DIM: usize = 24;
/// More than one part of a search takes.
const VECTORS: usize = 20_000;
const QUERIES: usize = 5;
/// Vectors within the radii.
const COUNTS: [usize; 3] = [10, 400, 10_000];

/// A set with the distances of its queries, best first.
struct Set {
    metric: Metric,
    base: Base,
    queries: Rows,
    /// By query: distances with their rows.
    sorted: Vec<Vec<(f64, usize)>>,
}

impl Set {
    fn new(metric: Metric, dtype: DType) -> Set {
        let (rows, queries) = (clustered(dtype, DIM, VECTORS, 1), clustered(dtype, DIM, QUERIES, 2));
        let sorted = (0..QUERIES).map(|query| {
            let distance = |row| exact_distance(metric, dtype, queries.row(query), rows.row(row));
            let mut all: Vec<(f64, usize)> = (0..VECTORS).map(|row| (distance(row), row)).collect();
            all.sort_by(|a, b| a.0.total_cmp(&b.0));
            if metric == Metric::InnerProduct {
                all.reverse();
            }
            all
        });
        let sorted = sorted.collect();
        Set { metric, base: Base::new(rows), queries, sorted }
    }

    /// A radius that about `wanted` vectors are within, and how many: none so near to it that rounding decides.
    fn radius(&self, query: usize, wanted: usize) -> (f32, usize) {
        let all = &self.sorted[query];
        let gap = |n: usize| (all[n].0 - all[n - 1].0).abs() > 2e-5 * (1.0 + all[n].0.abs());
        let n = (wanted..VECTORS).find(|&n| gap(n)).unwrap();
        (f64::midpoint(all[n - 1].0, all[n].0) as f32, n)
    }

    /// Fails unless what was found are vectors within the radius, each once and with its distance.
    #[track_caller]
    fn check(&self, query: usize, radius: f32, found: &[Neighbour], what: &str) {
        let ids: BTreeSet<u64> = found.iter().map(|n| n.id).collect();
        assert_eq!(ids.len(), found.len(), "{what}: repeated");
        let dtype = self.base.rows.dtype();
        for neighbour in found {
            let row = self.base.rows.row(neighbour.id as usize);
            let exact = exact_distance(self.metric, dtype, self.queries.row(query), row);
            let is_true = (f64::from(neighbour.distance) - exact).abs() <= 1e-5 * (1.0 + exact.abs());
            assert!(neighbour.estimated || is_true, "{what}: {neighbour:?}, truly at {exact}");
            assert!(self.metric.is_within(neighbour.distance, radius), "{what}: {neighbour:?}");
        }
    }
}

/// What a search gives, part by part.
fn search(engine: &Engine, query: &[u8], params: RangeParams) -> (Vec<Vec<Neighbour>>, RangeSummary) {
    let query = Bytes::copy_from_slice(query);
    let mut search = engine.range(RangeRequest { query, params, deadline: None, stop: None }).unwrap();
    let mut parts = Vec::new();
    while let Some(part) = search.next(engine).unwrap() {
        parts.push(part);
    }
    (parts, search.summary().clone())
}

/// An index of each kind.
fn kinds() -> Vec<(Metric, DType, CodeSpec, ReplicaRule)> {
    let (rabitq, axes) = (CodeSpec::RaBitQ { bits: 2 }, CodeSpec::Axes { bytes: 12 });
    let products = "pq:12x4".parse().unwrap();
    let mut kinds = Vec::new();
    for metric in Metric::ALL {
        kinds.extend([
            (metric, DType::F32, CodeSpec::Full, ReplicaRule::Soar),
            (metric, DType::U8, rabitq, ReplicaRule::Soar),
            (metric, DType::I8, axes, ReplicaRule::None),
            (metric, DType::F16, CodeSpec::Binary, ReplicaRule::None),
            (metric, DType::F32, products, ReplicaRule::Soar),
        ]);
    }
    kinds.push((Metric::Cosine, DType::U8, CodeSpec::Full, ReplicaRule::None));
    kinds
}

fn build(set: &Set, code: CodeSpec, replicas: ReplicaRule, out: &Path) {
    let built = BuildConfig { replicas, ..coded(set.metric, code, Tier::Ssd, out) };
    set.base.build(&built).unwrap();
}

#[test]
fn all_vectors_within_a_radius_are_found_once() {
    for (metric, dtype, code, replicas) in kinds() {
        let set = Set::new(metric, dtype);
        let dir = tempfile::tempdir().unwrap();
        build(&set, code, replicas, dir.path());
        let tiers = if code == CodeSpec::Full { &[OpenOptions::default()][..] } else { &TIERS[..] };
        for &options in tiers {
            // Codes in memory hold each vector once.
            if replicas != ReplicaRule::None && options.codes == Some(Tier::Memory) {
                continue;
            }
            let engine = open_engine_with(dir.path(), options);
            for (query, wanted) in (0..QUERIES).flat_map(|query| COUNTS.map(|count| (query, count))) {
                let (radius, within) = set.radius(query, wanted);
                let what =
                    format!("{metric} {dtype} {code} {options:?} query {query}, {within} within {radius}");
                let row = set.queries.row(query);
                let (parts, summary) = search(&engine, row, RangeParams::new(radius));
                let found = parts.concat();
                set.check(query, radius, &found, &what);
                assert_eq!((found.len(), summary.results), (within, within as u64), "{what}");
                assert_eq!((summary.answer.missing.parts(), summary.answer.limited_by), (0, None), "{what}");
                let sorted = |part: &Vec<Neighbour>| {
                    part.iter().is_sorted_by_key(|n| (metric.score_of_distance(n.distance), n.id))
                };
                assert!(parts.iter().all(sorted), "{what}");

                let most = within / 3 + 1;
                let params = RangeParams { max_results: Some(most), ..RangeParams::new(radius) };
                let (parts, summary) = search(&engine, row, params);
                let best = parts.concat();
                set.check(query, radius, &best, &what);
                assert_eq!(
                    (best.len(), summary.answer.limited_by),
                    (most, Some(Limit::MaxResults)),
                    "{what}"
                );
                let (last, exact) = (f64::from(best[most - 1].distance), set.sorted[query][most - 1].0);
                assert!((last - exact).abs() <= 1e-5 * (1.0 + exact.abs()), "{what}: {last} {exact}");
                assert!(best.is_sorted_by_key(|n| metric.score_of_distance(n.distance)), "{what}");
                let params = RangeParams { max_results: Some(within), ..RangeParams::new(radius) };
                let (parts, summary) = search(&engine, row, params);
                assert_eq!((parts.concat().len(), summary.answer.limited_by), (within, None), "{what}");
            }
        }
    }
}

#[test]
fn a_share_is_found_where_a_share_is_asked_for() {
    let mut short = Vec::new();
    for (metric, dtype, code, replicas) in kinds() {
        if code == CodeSpec::Full {
            continue;
        }
        let set = Set::new(metric, dtype);
        let dir = tempfile::tempdir().unwrap();
        build(&set, code, replicas, dir.path());
        let options = OpenOptions { codes: Some(Tier::Ssd), vectors: Some(Tier::Memory), ids: true };
        let engine = open_engine_with(dir.path(), options);
        for completeness in [0.8, 0.95, 0.99, 1.0] {
            let mut compared = 0;
            for distances in [Distances::Exact, Distances::Any] {
                let (mut hits, mut all, mut wrong, mut reranked) = (0, 0, 0, 0);
                for (query, wanted) in (0..QUERIES).flat_map(|query| COUNTS.map(|count| (query, count))) {
                    let (radius, within) = set.radius(query, wanted);
                    let params = RangeParams { completeness, distances, ..RangeParams::new(radius) };
                    let (parts, summary) = search(&engine, set.queries.row(query), params);
                    let found = parts.concat();
                    let what = format!("{metric} {dtype} {code} {completeness} {distances}");
                    set.check(query, radius, &found, &what);
                    let truly: BTreeSet<u64> =
                        set.sorted[query][..within].iter().map(|&(_, row)| row as u64).collect();
                    let true_found = found.iter().filter(|n| truly.contains(&n.id)).count();
                    hits += true_found;
                    wrong += found.len() - true_found;
                    all += within;
                    reranked += summary.answer.work.reranked;
                    assert!(distances == Distances::Any || found.iter().all(|n| !n.estimated), "{what}");
                }
                let share = hits as f32 / all as f32;
                println!(
                    "{metric} {dtype} {code} {completeness} {distances}: {share:.5}, {wrong} wrong of {all}, {reranked} compared"
                );
                if share < completeness {
                    short.push(format!("{metric} {dtype} {code} {completeness} {distances}: {share}"));
                }
                assert!(
                    wrong as f32 <= 0.002 * all as f32,
                    "{metric} {dtype} {code} {distances}: {wrong} of {all}"
                );
                assert!(
                    distances == Distances::Exact || code == CodeSpec::Binary || reranked < compared,
                    "{code}: {reranked} of {compared}"
                );
                compared = reranked;
            }
        }
    }
    assert!(short.is_empty(), "{short:#?}");
}

fn codes_on_ssd() -> (Set, tempfile::TempDir) {
    let set = Set::new(Metric::L2, DType::U8);
    let dir = tempfile::tempdir().unwrap();
    build(&set, CodeSpec::RaBitQ { bits: 2 }, ReplicaRule::None, dir.path());
    (set, dir)
}

#[test]
fn limits_cut_an_answer_short_by_name() {
    let (set, dir) = codes_on_ssd();
    let (radius, within) = set.radius(0, 10_000);
    for options in TIERS {
        let engine = open_engine_with(dir.path(), options);
        let (_, whole) = search(&engine, set.queries.row(0), RangeParams::new(radius));
        let mut before = 0;
        for share in [1, 2, 4, 64, u64::MAX] {
            let max_bytes =
                if share == u64::MAX { u64::MAX } else { whole.answer.work.read_bytes * share / 5 };
            if max_bytes == 0 {
                continue;
            }
            let params = RangeParams { max_bytes: Some(max_bytes), ..RangeParams::new(radius) };
            let (parts, summary) = search(&engine, set.queries.row(0), params);
            let found = parts.concat();
            set.check(0, radius, &found, "within bytes");
            assert!(found.len() >= before, "{options:?}: {} after {before}", found.len());
            before = found.len();
            let is_whole = found.len() == within;
            assert_eq!(
                summary.answer.limited_by.is_none(),
                is_whole,
                "{options:?}: {} of {within}",
                found.len()
            );
            assert!(is_whole || summary.answer.limited_by == Some(Limit::MaxBytes));
        }
        assert_eq!(before, within);
    }
}

#[test]
fn what_is_no_range_search_is_refused() {
    let (set, dir) = codes_on_ssd();
    let engine = open_engine(dir.path());
    let row = Bytes::copy_from_slice(set.queries.row(0));
    let request =
        |query: &Bytes, params| RangeRequest { query: query.clone(), params, deadline: None, stop: None };
    let refused = |params| match engine.range(request(&row, params)).unwrap_err() {
        SearchError::Params(error) => error,
        error => panic!("{error}"),
    };
    for radius in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -1.0] {
        assert!(matches!(refused(RangeParams::new(radius)), ParamsError::Radius(_)), "{radius}");
    }
    let valid = RangeParams::new(1.0);
    for completeness in [f32::NAN, -0.1, 1.1] {
        let params = RangeParams { completeness, ..valid.clone() };
        assert!(matches!(refused(params), ParamsError::Completeness { .. }), "{completeness}");
    }
    assert_eq!(refused(RangeParams { max_results: Some(0), ..valid.clone() }), ParamsError::ZeroResults);
    assert_eq!(refused(RangeParams { max_bytes: Some(0), ..valid.clone() }), ParamsError::ZeroBytes);
    assert_eq!(refused(RangeParams { distances: Distances::Any, ..valid.clone() }), ParamsError::NoIds);
    for queries in [Bytes::new(), Bytes::copy_from_slice(set.queries.bytes())] {
        let error = engine.range(request(&queries, valid.clone())).unwrap_err();
        assert!(matches!(error, SearchError::RangeQueries { .. }), "{error}");
    }
    let stopped =
        RangeRequest { stop: Some(Arc::new(AtomicBool::new(true))), ..request(&row, valid.clone()) };
    let mut search = engine.range(stopped).unwrap();
    assert!(matches!(search.next(&engine), Err(SearchError::Stopped { .. })));
    let late = RangeRequest { deadline: Some(Instant::now()), ..request(&row, valid) };
    let mut search = engine.range(late).unwrap();
    assert!(matches!(search.next(&engine), Err(SearchError::Deadline { .. })));
}

#[test]
fn a_damaged_list_is_missing_and_no_more() {
    let (set, dir) = codes_on_ssd();
    let (radius, within) = set.radius(0, 400);
    let whole = open_engine(dir.path());
    let segment = &whole.index().segments()[0];
    let (_, summary) = search(&whole, set.queries.row(0), RangeParams::new(radius));
    let path = segment.codes.path.clone();
    let good = fs::read(&path).unwrap();
    let mut bad = good.clone();
    // Each list starts at a multiple of 512 bytes after the header's.
    (4096..bad.len()).step_by(512).for_each(|at| bad[at] ^= 1);
    fs::write(&path, &bad).unwrap();
    let engine = open_engine(dir.path());
    for _ in 0..2 {
        let (parts, damaged) = search(&engine, set.queries.row(0), RangeParams::new(radius));
        assert_eq!(parts.concat().len(), 0);
        assert_eq!(damaged.answer.missing.lists, summary.answer.work.lists);
    }
    fs::write(&path, &good).unwrap();
    let (parts, _) = search(&open_engine(dir.path()), set.queries.row(0), RangeParams::new(radius));
    assert_eq!(parts.concat().len(), within);
}

#[test]
fn lists_that_hold_nothing_are_not_scanned() {
    // In few dimensions radii are small.
    let rows = clustered(DType::F32, 2, 4000, 1);
    for metric in Metric::ALL {
        let base = Base::new(rows.clone());
        let dir = tempfile::tempdir().unwrap();
        base.build(&config(metric, dir.path())).unwrap();
        let engine = open_engine(dir.path());
        let mut lists = 0;
        for query in (0..count(&rows)).step_by(401) {
            let exact = |row: usize| exact_distance(metric, DType::F32, rows.row(query), rows.row(row));
            let mut all: Vec<f64> = (0..4000).map(exact).collect();
            all.sort_by(f64::total_cmp);
            if metric == Metric::InnerProduct {
                all.reverse();
            }
            let n = (20..4000).find(|&n| (all[n] - all[n - 1]).abs() > 1e-5 * (1.0 + all[n].abs())).unwrap();
            let radius = f64::midpoint(all[n - 1], all[n]) as f32;
            let (parts, summary) = search(&engine, rows.row(query), RangeParams::new(radius));
            assert_eq!(parts.concat().len(), n, "{metric}");
            lists += summary.answer.work.lists;
        }
        println!("{metric}: {lists} of {}", 10 * engine.index().lists());
        assert!(
            lists < 10 * engine.index().lists() / 2,
            "{metric}: {lists} of 10 x {}",
            engine.index().lists()
        );
    }
}
