//! Searches among the vectors that match a filter: as if there were no others.
use std::sync::Arc;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use spandrel_datasets::Rows;
use spandrel_engine::{Engine, FilterPlan, SearchParams};
use spandrel_index::codes::CodeSpec;
use spandrel_index::{DType, Index, Matches, Metric, OpenOptions, Tier, VectorSource};
use spandrel_tests::{Base, clustered, coded, config, count};

use crate::support::{TIERS, assert_exact, assert_true, engine_config, every_list};

const K: usize = 10;

/// Of the rows of `base` a share of `share` in the index, and a base of these rows alone.
fn some(base: &Base, index: &Index, share: f64) -> (Arc<Matches>, Base) {
    let mut rng = ChaCha8Rng::seed_from_u64(11);
    let matches = Matches::of(index, |_| rng.random_bool(share));
    let (mut bytes, mut ids) = (Vec::new(), Vec::new());
    for location in matches.iter() {
        let id = index.id(location).unwrap();
        bytes.extend_from_slice(base.rows.row(id as usize));
        ids.push(id);
    }
    let rows = Rows::new(base.rows.dtype(), base.rows.dim(), bytes).unwrap();
    (Arc::new(matches), Base::with_ids(rows, ids))
}

/// Fails unless answers among some of the vectors of `base` are those of an index of these alone.
#[track_caller]
pub(crate) fn check(metric: Metric, base: &Base, engine: &Engine, what: &str) {
    let queries = clustered(base.rows.dtype(), base.rows.dim(), 8, 5);
    for share in [0.5, 0.1, 0.004] {
        let (matches, accepted) = some(base, engine.index(), share);
        let wanted = K.min(count(&accepted.rows));
        let filter = || Some(Arc::clone(&matches));
        let exact = SearchParams { filter: filter(), ..every_list(K) };
        let few = || SearchParams { filter: filter(), ..SearchParams::new(K) };
        let narrow = SearchParams { epsilon: Some(0.0), ..few() };
        for (query, answer) in engine.search(queries.bytes(), &exact).unwrap().iter().enumerate() {
            let what = format!("{what}, {share}, query {query}");
            assert_eq!((answer.neighbours.len(), answer.limited_by), (wanted, None), "{what}");
            assert_exact(metric, &accepted, queries.row(query), answer, &what);
        }
        let planned = FilterPlan::ALL.map(|plan| SearchParams { filter_plan: Some(plan), ..exact.clone() });
        let has_codes =
            engine.index().code() != CodeSpec::Full && engine.index().codes_tier() == Tier::Memory;
        let can_be = |params: &&SearchParams| params.filter_plan != Some(FilterPlan::Codes) || has_codes;
        for params in planned.iter().filter(can_be) {
            for (query, answer) in engine.search(queries.bytes(), params).unwrap().iter().enumerate() {
                let what = format!("{what}, {share}, query {query}, {:?}", params.filter_plan);
                assert_eq!((answer.neighbours.len(), answer.limited_by), (wanted, None), "{what}");
                assert_exact(metric, &accepted, queries.row(query), answer, &what);
            }
        }
        for params in [few(), narrow] {
            for (query, answer) in engine.search(queries.bytes(), &params).unwrap().iter().enumerate() {
                let what = format!("{what}, {share}, query {query}, {params:?}");
                assert_eq!((answer.neighbours.len(), answer.limited_by), (wanted, None), "{what}");
                assert_true(metric, &accepted, queries.row(query), answer, &what);
            }
        }
    }
    let none = Some(Arc::new(Matches::of(engine.index(), |_| false)));
    let none = SearchParams { filter: none, ..SearchParams::new(K) };
    let answers = engine.search(queries.bytes(), &none).unwrap();
    assert!(answers.iter().all(|a| a.neighbours.is_empty() && a.limited_by.is_none() && a.work.reads == 0));
}

#[test]
fn answers_are_those_of_an_index_of_the_accepted_vectors_alone() {
    for (metric, dtype) in
        [(Metric::L2, DType::U8), (Metric::InnerProduct, DType::F32), (Metric::Cosine, DType::F16)]
    {
        let base = Base::new(clustered(dtype, 12, 2000, 1));
        let dir = tempfile::tempdir().unwrap();
        let open = |name: &str, options: OpenOptions| {
            let options = OpenOptions { ids: true, ..options };
            let index = Arc::new(Index::open_with(&dir.path().join(name), options).unwrap());
            Engine::open(index, engine_config()).unwrap()
        };
        base.build(&config(metric, &dir.path().join("full"))).unwrap();
        check(metric, &base, &open("full", OpenOptions::default()), &format!("{metric}, full"));
        let mut copied = coded(metric, CodeSpec::RaBitQ { bits: 2 }, Tier::Ssd, &dir.path().join("copied"));
        copied.replicas = config(metric, dir.path()).replicas;
        base.build(&copied).unwrap();
        base.build(&coded(metric, CodeSpec::RaBitQ { bits: 2 }, Tier::Ssd, &dir.path().join("coded")))
            .unwrap();
        for options in TIERS {
            for name in ["coded", "copied"] {
                check(metric, &base, &open(name, options), &format!("{metric}, {name}, {options:?}"));
            }
        }
    }
}
