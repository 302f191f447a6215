//! What a scorer finds best, by candidates from its own scores and by those of the encoder.
use std::convert::Infallible;
use std::sync::Arc;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use spandrel_benches::{PAIR_NETWORK_SEED, PairNetwork};
use spandrel_datasets::cur::{
    AnchorChoice, AnchorParams, CurParams, HeldOut, ScoreMatrix, choose_anchors, learn,
};
use spandrel_datasets::{Rows, Watch};
use spandrel_engine::{Engine, EngineConfig, ScoredItem, ScoredParams, SearchParams};
use spandrel_index::codes::CodeSpec;
use spandrel_index::{DType, Index, Metric, Tier};
use spandrel_tests::{Base, coded};

const DIM: usize = 32;
const ITEMS: usize = 2000;
const BUDGET: usize = 200;

/// Vectors of unit length around some directions.
fn unit_vectors(count: usize, seed: u64) -> Vec<f32> {
    let mut centres = ChaCha8Rng::seed_from_u64(0x5eed);
    let centres: Vec<f32> = (0..20 * DIM).map(|_| centres.random_range(-1.0..1.0)).collect();
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut all = Vec::with_capacity(count * DIM);
    for _ in 0..count {
        let centre = rng.random_range(0..20) * DIM;
        let row: Vec<f32> =
            centres[centre..centre + DIM].iter().map(|x| x + rng.random_range(-1.5_f32..1.5)).collect();
        let length = row.iter().map(|x| x * x).sum::<f32>().sqrt();
        all.extend(row.iter().map(|x| x / length));
    }
    all
}

fn bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|x| x.to_le_bytes()).collect()
}

/// Was chosen before anything was measured. What is measured with another network is no longer comparable.
#[test]
fn the_scorer_of_the_measurements_is_the_one_that_was_fixed() {
    let network = PairNetwork::new(8, PAIR_NETWORK_SEED);
    let items: Vec<f32> = (0..24).map(|at| (at as f32 * 0.7).sin() / 2.0).collect();
    let query: Vec<f32> = (0..8).map(|at| (at as f32 * 1.3).cos() / 2.0).collect();
    let scores = network.scores(&query, &network.items(&items));
    let expected: [f32; 3] = [0.259_811, -0.601_271, -1.252_435];
    assert!(scores.iter().zip(expected).all(|(score, fixed)| (score - fixed).abs() < 1e-4), "{scores:?}");
}

/// Mean recall of the best 50 by score.
fn recall(vectors: &[f32], queries: &[f32], truth: &ScoreMatrix, anchors: &[u64]) -> f64 {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("index");
    let dim = vectors.len() / ITEMS;
    let base = Base::new(Rows::new(DType::F32, dim, bytes(vectors)).unwrap());
    base.build(&coded(Metric::InnerProduct, CodeSpec::Axes { bytes: 16 }, Tier::Memory, &out)).unwrap();
    let engine = Engine::open(Arc::new(Index::open(&out).unwrap()), EngineConfig::default()).unwrap();
    let params = SearchParams { max_lists: Some(u32::MAX), ..SearchParams::new(1) };
    let mut hits = 0;
    for (query, vector) in queries.chunks_exact(dim).enumerate() {
        let scores = truth.row(query);
        let known: Vec<ScoredItem> =
            anchors.iter().map(|&id| ScoredItem { id, score: scores[id as usize] }).collect();
        let mut calls = known.len();
        let mut scorer = |ids: &[u64]| {
            calls += ids.len();
            Ok::<_, Infallible>(ids.iter().map(|&id| scores[id as usize]).collect())
        };
        let scored = ScoredParams { known, ..ScoredParams::new(50, BUDGET) };
        let answer =
            engine.search_scored((&bytes(vector)[..]).into(), &params, &scored, &mut scorer).unwrap();
        assert_eq!((answer.scored, calls), (BUDGET, BUDGET));
        let mut best: Vec<u64> = (0..ITEMS as u64).collect();
        best.sort_by(|&a, &b| scores[b as usize].total_cmp(&scores[a as usize]).then(a.cmp(&b)));
        hits += answer.best.iter().filter(|item| best[..50].contains(&item.id)).count();
    }
    hits as f64 / (50 * truth.rows()) as f64
}

#[test]
fn scores_on_anchors_find_more_than_the_encoder_for_as_many_calls() {
    let items = unit_vectors(ITEMS, 1);
    let (anchor_queries, queries) = (unit_vectors(150, 2), unit_vectors(30, 3));
    let network = PairNetwork::new(DIM, PAIR_NETWORK_SEED);
    let packed = network.items(&items);
    let of = |queries: &[f32]| {
        let rows = queries.chunks_exact(DIM).flat_map(|query| network.scores(query, &packed));
        ScoreMatrix::new(ITEMS, rows.collect(), String::new).unwrap()
    };
    let (taught, truth) = (of(&anchor_queries), of(&queries));
    let encoder = recall(&items, &queries, &truth, &[]);
    let anchors = choose_anchors(
        &taught,
        AnchorParams { count: BUDGET / 4, choice: AnchorChoice::Pivoted, seed: 1 },
        Watch::none(),
    )
    .unwrap();
    let params = CurParams { strength: None, held_out: HeldOut::default(), seed: 1 };
    let map = learn(&taught, &anchors, &params, Watch::none()).unwrap().map;
    let vectors = (0..30).flat_map(|query| {
        let scores: Vec<f32> = anchors.iter().map(|&item| truth.row(query)[item as usize]).collect();
        map.vector(&scores)
    });
    // A column of scores is the vector of an item.
    let columns: Vec<f32> = (0..ITEMS)
        .flat_map(|item| (0..150).map(move |query| (query, item)))
        .map(|(query, item)| taught.row(query)[item])
        .collect();
    let scored = recall(&columns, &vectors.collect::<Vec<f32>>(), &truth, &anchors);
    assert!(scored > encoder + 0.05, "{scored} by scores on anchors, {encoder} by the encoder");
}
