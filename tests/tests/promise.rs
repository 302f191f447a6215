//! A recall that is asked for is found by queries that calibration never saw: halves of the queries calibrate, the others measure.
use std::sync::Arc;

use spandrel_benches::promise::{Losses, Tried};
use spandrel_builder::{ListCount, Silent};
use spandrel_datasets::{GenerateParams, Kind, TruthParams, Watch, compute_truth, generate_rows};
use spandrel_engine::{Engine, SearchParams, Truth, recalls};
use spandrel_index::codes::CodeSpec;
use spandrel_index::{DType, Index, Metric, OpenOptions, Tier};
use spandrel_tests::{Base, CALIBRATOR, coded};

use crate::support::engine_config;

/// Recall over the target that a straight line between two points, few lists apart, may give.
const OVERSHOOT: f64 = 0.015;
/// Halves of the queries.
const HALVES: usize = 200;

struct Set {
    kind: Kind,
    metric: Metric,
    dtype: DType,
    dim: usize,
}

/// Numbers of checks made.
#[derive(Debug, Default)]
struct Checks {
    overshoots: usize,
    bounds: usize,
    promises: usize,
}

/// Builds and calibrates an index of a generated set, and checks both promises for some numbers of neighbours.
fn check(set: &Set, ks: &[u32]) {
    let mut checks = Checks::default();
    let &Set { kind, metric, dtype, dim } = set;
    let params = GenerateParams { kind, vectors: 12_000, queries: 1600, dim, dtype, seed: 3, threads: 2 };
    let (base, queries) = generate_rows(params, Watch::none()).unwrap();
    let truth =
        compute_truth(&base, &queries, None, TruthParams { metric, k: 100, threads: 2 }, Watch::none())
            .unwrap();
    let truth = Truth { ids: &truth.ids, distances: truth.distances.as_deref().unwrap(), columns: truth.k };
    let dir = tempfile::tempdir().unwrap();
    let code = CodeSpec::Axes { bytes: dim.next_multiple_of(32) as u32 / 4 };
    let mut config = coded(metric, code, Tier::Memory, dir.path());
    config.lists = ListCount::Size(60);
    Base::new(base).build_watched(&config, Some(&CALIBRATOR), &Silent).unwrap();
    let options = OpenOptions { vectors: Some(Tier::Memory), ..OpenOptions::default() };
    let index = Arc::new(Index::open_with(dir.path(), options).unwrap());
    let engine = Engine::open(Arc::clone(&index), engine_config()).unwrap();
    let curves = index.recall().unwrap();
    let tried = Tried { dir: dir.path(), curves, vectors: Tier::Memory, threads: 2, stops: true };
    for &k in ks {
        let losses = Losses::measure(tried, &queries, truth, k).unwrap();
        for target in [0.80, 0.90, 0.95, 0.99] {
            let what = format!("{kind} {metric} {dtype} {dim}, k {k}, target {target}");
            let kept = losses.halves(target, None, HALVES, 7);
            println!("{what}: {kept:?}");
            assert!(kept.reached > 0.0 && kept.margin >= -3.0 * kept.error, "{what}: {kept:?}");
            // Beyond, points are far apart; and the least work may find more than the target.
            if target <= 0.95 && kept.cheapest == 0.0 {
                checks.overshoots += 1;
                assert!(kept.margin <= OVERSHOOT + 3.0 * kept.error, "{what}: {kept:?}");
            }
            let bound = losses.halves(target, Some(0.95), HALVES, 7);
            if bound.reached > 0.0 {
                checks.bounds += 1;
                // One half in twenty may fail, and the half that measures has an error of its own.
                assert!(bound.under <= 0.1, "{what}: {bound:?}");
            }
            let params = SearchParams { recall: Some(target), ..SearchParams::new(k as usize) };
            let answers = engine.search(queries.bytes(), &params).unwrap();
            let promise = answers[0].promise.unwrap();
            let found = recalls(metric, &answers, truth, k as usize).unwrap();
            let found = found.iter().sum::<f64>() / found.len() as f64;
            println!("{what}: rows promise {:.4}, found {found:.4}", promise.expected.unwrap());
            // Rows stand for queries of their own distribution.
            if kind != Kind::Ood && promise.reached() {
                checks.promises += 1;
                assert!(found > target - 0.01, "{what}: {found}");
            }
        }
    }
    println!("{checks:?}");
    // The highest target alone may be out of reach.
    assert!(checks.overshoots == 3 * ks.len() && checks.bounds >= 3 * ks.len(), "{checks:?}");
    assert!(kind == Kind::Ood || checks.promises >= 3 * ks.len(), "{checks:?}");
}

#[test]
fn halves_of_the_queries_keep_their_promise_to_the_others() {
    check(&Set { kind: Kind::Sift, metric: Metric::L2, dtype: DType::U8, dim: 64 }, &[1, 10, 100]);
    check(&Set { kind: Kind::Embedding, metric: Metric::Cosine, dtype: DType::F32, dim: 48 }, &[10]);
    check(&Set { kind: Kind::Ood, metric: Metric::InnerProduct, dtype: DType::F16, dim: 32 }, &[10]);
}
