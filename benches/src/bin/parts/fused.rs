//! Answers of several indexes, put together by their ranks alone.
use anyhow::Result;
use spandrel_benches::set::{K, Set};
use spandrel_datasets::{FuseParams, Truth, fuse};
use spandrel_engine::Answer;

/// Recall of the fused answers of indexes.
pub(crate) fn recall(set: &Set, parts: &[Vec<Answer>]) -> Result<f64> {
    let files: Vec<Truth> = parts.iter().map(|answers| ranked(answers)).collect();
    let fused = fuse(&files, &FuseParams::default())?;
    let of_query = |query: usize| {
        let hits = set.hits(query);
        fused.ids_of(query).iter().take(K).filter(|id| hits.contains(id)).count().min(K)
    };
    let hits: usize = (0..fused.queries).map(of_query).sum();
    Ok(hits as f64 / (fused.queries * K) as f64) // CAST: exact to 2^53
}

/// As a file of answers holds them.
fn ranked(answers: &[Answer]) -> Truth {
    let of = |answer: &Answer| {
        let ids: Vec<u64> = answer.neighbours.iter().map(|near| near.id).collect();
        let missing = K - ids.len();
        ids.into_iter().chain(std::iter::repeat_n(Truth::NONE, missing))
    };
    Truth { queries: answers.len(), k: K, ids: answers.iter().flat_map(of).collect(), distances: None }
}
