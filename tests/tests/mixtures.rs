//! Vectors whose codes err by very different amounts: comparing more never costs recall.
//!
//! When a vector far from all others seemed near by an estimate that said next to nothing, it took the place of true
//! neighbours: with 30 of 30 000 vectors scaled by 10 000, a search of all lists that compared 1 000 vectors found a third
//! of the neighbours. An estimate is now judged by its error.
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use spandrel_builder::filing::ReplicaRule;
use spandrel_builder::{BuildConfig, ListCount};
use spandrel_datasets::{Rows, TruthParams, Watch, compute_truth};
use spandrel_engine::{Engine, Rerank, SearchParams, Truth, recall};
use spandrel_index::codes::CodeSpec;
use spandrel_index::{DType, Metric, Tier};
use spandrel_tests::{Base, clustered, coded, count};

use crate::support::open_engine;

const K: usize = 10;
const DIM: usize = 24;
const VECTORS: usize = 3000;
const ERRORS: [f32; 5] = [0.0, 0.5, 1.0, 2.0, 8.0];
const COUNTS: [u32; 4] = [10, 50, 200, 1000];

/// Vectors around centres, each multiplied by what its number gives.
fn scaled(seed: u64, mut scale: impl FnMut(usize) -> f32) -> Rows {
    let rows = clustered(DType::F32, DIM, VECTORS, seed);
    let mut bytes = Vec::with_capacity(rows.bytes().len());
    for row in 0..count(&rows) {
        let scale = scale(row);
        for &element in rows.row(row).as_chunks::<4>().0 {
            bytes.extend((scale * f32::from_le_bytes(element)).to_le_bytes());
        }
    }
    Rows::new(DType::F32, DIM, bytes).unwrap()
}

/// Vectors of several kinds.
fn kinds() -> [(&'static str, Rows); 3] {
    let mut rng = ChaCha8Rng::seed_from_u64(11);
    let outliers = scaled(1, |row| if row % 100 == 50 { 1e4 } else { 1.0 });
    let lengths = scaled(1, |_| rng.random_range(-4.0_f32..4.0).exp());
    let rows = clustered(DType::F32, DIM, VECTORS / 12, 1);
    let twelvefold = Rows::new(DType::F32, DIM, rows.bytes().repeat(12)).unwrap();
    [("outliers", outliers), ("lengths", lengths), ("twelve of each", twelvefold)]
}

struct Case<'a> {
    engine: Engine,
    metric: Metric,
    queries: &'a Rows,
    truth: Truth<'a>,
    what: String,
}

impl Case<'_> {
    fn recall(&self, max_lists: u32, rerank: Rerank) -> f64 {
        let params =
            SearchParams { max_lists: Some(max_lists), rerank: Some(rerank), ..SearchParams::new(K) };
        let answers = self.engine.search(self.queries.bytes(), &params).unwrap();
        recall(self.metric, &answers, self.truth, K).unwrap()
    }

    /// Fails where recall falls along a row of searches.
    #[track_caller]
    fn never_falls(&self, along: &str, found: &[f64]) {
        let falls = found.windows(2).any(|pair| pair[1] < pair[0]);
        assert!(!falls, "{}, {along}: {found:.4?}", self.what);
    }

    fn check(&self) {
        let lists = self.engine.index().lists();
        for max_lists in [lists / 8, lists] {
            let by_errors = ERRORS.map(|errors| self.recall(max_lists, Rerank::Errors(errors)));
            self.never_falls(&format!("{max_lists} lists by errors"), &by_errors);
            let by_count = COUNTS.map(|count| self.recall(max_lists, Rerank::Count(count)));
            self.never_falls(&format!("{max_lists} lists by count"), &by_count);
        }
        let by_lists =
            [1, 2, lists / 8, lists / 2, lists].map(|lists| self.recall(lists, Rerank::Count(u32::MAX)));
        self.never_falls("by lists, all compared", &by_lists);
        assert_eq!(by_lists[4], 1.0, "{}", self.what);
    }
}

const CODES: [(CodeSpec, Tier); 4] = [
    (CodeSpec::Axes { bytes: 8 }, Tier::Memory),
    (CodeSpec::RaBitQ { bits: 1 }, Tier::Ssd),
    (CodeSpec::Products { quantisers: 8, bits: 4, rotated: true, uniform: false }, Tier::Memory),
    (CodeSpec::Binary, Tier::Memory),
];

/// Checks the metrics that are chosen for the number of a kind and of a code.
fn check_kinds(is_chosen: impl Fn(usize, usize, Metric) -> bool) {
    let queries = clustered(DType::F32, DIM, 100, 2);
    for (kind, (name, rows)) in kinds().into_iter().enumerate() {
        let base = Base::new(rows);
        for metric in Metric::ALL {
            let params = TruthParams { metric, k: 30, threads: 2 };
            let truth = compute_truth(&base.rows, &queries, None, params, Watch::none()).unwrap();
            let distances = truth.distances.as_deref().unwrap();
            let known = Truth { ids: &truth.ids, distances, columns: 30 };
            let chosen = CODES.into_iter().enumerate().filter(|&(code, _)| is_chosen(kind, code, metric));
            for (_, (code, tier)) in chosen {
                let dir = tempfile::tempdir().unwrap();
                let replicas = if tier == Tier::Ssd { ReplicaRule::Soar } else { ReplicaRule::None };
                let lists = ListCount::Size(40);
                base.build(&BuildConfig { replicas, lists, ..coded(metric, code, tier, dir.path()) })
                    .unwrap();
                let what = format!("{name}, {metric}, {code} on {tier}");
                let engine = open_engine(dir.path());
                Case { engine, metric, queries: &queries, truth: known, what }.check();
            }
        }
    }
}

/// Each kind with each code, and each code with each metric.
#[test]
fn more_work_never_costs_recall() {
    check_kinds(|kind, code, metric| metric == Metric::ALL[(kind + code) % 3]);
}

#[test]
#[ignore = "half a minute: cargo test -p spandrel-tests -- --ignored mixtures"]
fn more_work_never_costs_recall_with_any_metric() {
    check_kinds(|_, _, _| true);
}
