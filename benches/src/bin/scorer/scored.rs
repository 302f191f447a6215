//! Scores of the synthetic scorer, and searches that ask it.
use std::collections::HashSet;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result};
use spandrel_benches::set::config;
use spandrel_benches::{PairItems, PairNetwork};
use spandrel_builder::{Choice, Input, Silent, VectorShape, build};
use spandrel_datasets::Rows;
use spandrel_datasets::cur::ScoreMatrix;
use spandrel_engine::{Engine, EngineConfig, ScoredItem, ScoredParams, SearchParams};
use spandrel_index::codes::CodeSpec;
use spandrel_index::{DType, Index, Metric, Tier, VectorSource as _};

/// Best items that are looked for.
pub(crate) const KS: [usize; 4] = [1, 10, 50, 100];

/// The scorer and all items.
pub(crate) struct Scores {
    network: PairNetwork,
    items: PairItems,
    dim: usize,
    count: usize,
}

impl Scores {
    pub(crate) fn new(items: &[f32], dim: usize, seed: u64) -> Scores {
        let network = PairNetwork::new(dim, seed);
        Scores { items: network.items(items), network, dim, count: items.len() / dim }
    }

    /// Scores of some queries with all items.
    pub(crate) fn of(&self, queries: &[f32]) -> Result<ScoreMatrix> {
        let rows = queries.chunks_exact(self.dim).flat_map(|query| self.network.scores(query, &self.items));
        Ok(ScoreMatrix::new(self.count, rows.collect(), || "the scorer".to_owned())?)
    }
}

/// Vectors of items, as f32.
pub(crate) fn item_rows(dim: usize, values: &[f32]) -> Result<Rows> {
    Ok(Rows::new(DType::F32, dim, values.iter().flat_map(|x| x.to_le_bytes()).collect())?)
}

/// An index by inner product, in a folder of its own.
pub(crate) struct Searched {
    engine: Engine,
    dim: usize,
    _folder: tempfile::TempDir,
}

impl Searched {
    pub(crate) fn build(rows: &Rows, threads: usize) -> Result<Searched> {
        let folder = tempfile::tempdir().context("a folder for an index")?;
        let out = folder.path().join("index");
        let choice = Choice::of(VectorShape::of(rows, Metric::InnerProduct), CodeSpec::Full, Tier::Ssd);
        let config = config(Metric::InnerProduct, &choice, &out, threads);
        build(Input::of(rows), &config, &Silent, &AtomicBool::new(false)).context("building")?;
        let config = EngineConfig { threads, ..EngineConfig::default() };
        let engine = Engine::open(Arc::new(Index::open(&out)?), config)?;
        Ok(Searched { engine, dim: rows.dim(), _folder: folder })
    }

    /// Mean recall of the best `KS` by score. The scorer is asked through the engine, so that what it was asked is counted.
    pub(crate) fn recalls(
        &self,
        queries: &[f32],
        truth: &ScoreMatrix,
        anchors: &[u64],
        budget: usize,
    ) -> Result<[f64; KS.len()]> {
        let params = SearchParams { max_lists: Some(u32::MAX), ..SearchParams::new(1) };
        let mut sums = [0.0; KS.len()];
        for (query, vector) in queries.chunks_exact(self.dim).enumerate() {
            let scores = truth.row(query);
            let of = |id: u64| scores[id as usize]; // CAST: a column
            let known = anchors.iter().map(|&id| ScoredItem { id, score: of(id) }).collect();
            let k = KS[KS.len() - 1].min(budget);
            let scored = ScoredParams { known, batch: budget, ..ScoredParams::new(k, budget) };
            let bytes: Vec<u8> = vector.iter().flat_map(|x| x.to_le_bytes()).collect();
            let mut calls = anchors.len();
            let mut scorer = |ids: &[u64]| {
                calls += ids.len();
                Ok::<_, Infallible>(ids.iter().map(|&id| of(id)).collect())
            };
            let answer = self.engine.search_scored((&bytes[..]).into(), &params, &scored, &mut scorer)?;
            assert!(calls == answer.scored && calls <= budget, "{calls} calls of {budget}");
            let found: HashSet<u64> = answer.best.iter().map(|item| item.id).collect();
            let best = best_of(scores);
            for (sum, k) in sums.iter_mut().zip(KS) {
                let hits = best[..k].iter().filter(|id| found.contains(id)).count();
                *sum += hits as f64 / k as f64 / truth.rows() as f64; // CAST: exact
            }
        }
        Ok(sums)
    }
}

/// Ids of the best by score, for the largest of `KS`.
fn best_of(scores: &[f32]) -> Vec<u64> {
    let mut ids: Vec<u64> = (0..scores.len() as u64).collect(); // CAST: widening
    ids.sort_unstable_by(|&a, &b| scores[b as usize].total_cmp(&scores[a as usize]).then(a.cmp(&b))); // CAST: a column
    ids.truncate(KS[KS.len() - 1]);
    ids
}
