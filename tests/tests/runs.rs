//! Searches among vectors that lie together, in a few runs of positions, find the recall that is asked for, wherever the query is.
use std::sync::Arc;

use spandrel_builder::{ListCount, Silent};
use spandrel_datasets::{GenerateParams, Kind, Rows, Watch, generate_rows};
use spandrel_engine::{Engine, FilterPlan, SearchParams};
use spandrel_index::codes::CodeSpec;
use spandrel_index::{DType, Index, Location, Matches, Metric, OpenOptions, Tier};
use spandrel_tests::{Base, CALIBRATOR, coded};

use crate::support::engine_config;

const K: usize = 10;
const VECTORS: u32 = 12_000;
const QUERIES: usize = 200;
const TARGET: f64 = 0.95;

/// Matches in runs, from the first position of each to the one after its last.
fn matches(index: &Index, runs: &[[u32; 2]]) -> Arc<Matches> {
    Arc::new(Matches::of(index, |at: Location| {
        runs.iter().any(|run| (run[0]..run[1]).contains(&at.position()))
    }))
}

/// Mean recall of all queries against the plan `exact`, the plans that were followed, and the most lists that were searched.
fn recall(engine: &Engine, queries: &Rows, params: &SearchParams) -> (f64, Vec<FilterPlan>, u32) {
    let exact = SearchParams { filter_plan: Some(FilterPlan::Exact), ..params.clone() };
    let (mut found, mut wanted, mut lists, mut plans) = (0, 0, 0, Vec::new());
    let answers = engine.search(queries.bytes(), params).unwrap();
    for (answer, truth) in answers.iter().zip(engine.search(queries.bytes(), &exact).unwrap()) {
        assert_eq!(answer.neighbours.len(), truth.neighbours.len());
        let kth = truth.neighbours.last().unwrap().distance;
        found += answer.neighbours.iter().filter(|near| near.distance <= kth).count();
        wanted += truth.neighbours.len();
        lists = lists.max(answer.work.lists);
        plans.push(answer.filtered.unwrap().plan);
    }
    plans.sort_unstable();
    plans.dedup();
    (found as f64 / wanted as f64, plans, lists)
}

#[test]
fn runs_of_matches_are_searched_in_their_own_lists() {
    for (codes, vectors) in [(Tier::Memory, Tier::Memory), (Tier::Ssd, Tier::Ssd)] {
        let (kind, dtype) = (Kind::Sift, DType::U8);
        let (vectors_max, dim) = (VECTORS.into(), 64);
        let params = GenerateParams {
            kind,
            vectors: vectors_max,
            queries: QUERIES as u64,
            dim,
            dtype,
            seed: 3,
            threads: 2,
        };
        let (base, queries) = generate_rows(params, Watch::none()).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let mut config = coded(Metric::L2, CodeSpec::Axes { bytes: 16 }, codes, dir.path());
        config.lists = ListCount::Size(40);
        Base::new(base).build_watched(&config, Some(&CALIBRATOR), &Silent).unwrap();
        let options = OpenOptions { codes: Some(codes), vectors: Some(vectors), ids: true };
        let index = Arc::new(Index::open_with(dir.path(), options).unwrap());
        let engine = Engine::open(index.clone(), engine_config()).unwrap();
        // A region of space each: most queries lie far from it.
        for runs in [&[[100, 4100]][..], &[[0, 1500], [7000, 8000], [11_000, 12_000]], &[[5000, 5030]]] {
            let filter = Some(matches(&index, runs));
            let positions = runs.iter().map(|run| u64::from(run[1] - run[0])).sum::<u64>();
            let base = SearchParams { filter, recall: Some(TARGET), ..SearchParams::new(K) };
            let (found, plans, lists) = recall(&engine, &queries, &base);
            println!("codes {codes}, {runs:?}: {found:.4}, {plans:?}, {lists} lists");
            assert!(found >= TARGET - 0.01, "{runs:?}: {found}");
            for plan in FilterPlan::ALL {
                if plan == FilterPlan::Codes && codes == Tier::Ssd {
                    continue;
                }
                let params = SearchParams { filter_plan: Some(plan), ..base.clone() };
                let (found, plans, lists) = recall(&engine, &queries, &params);
                println!("  {plan}: {found:.4}, {lists} lists");
                assert_eq!(plans, [plan]);
                assert!(found >= TARGET - 0.01, "{runs:?}, {plan}: {found}");
                // Those of the runs, and no others.
                assert!(u64::from(lists) <= positions / 15 + 2, "{runs:?}, {plan}: {lists} lists");
            }
        }
    }
}
