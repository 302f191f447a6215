//! An index joined with itself, beside searches for its vectors.
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use anyhow::Result;
use spandrel_benches::set::{K, MEMORY_BYTES, Set};
use spandrel_datasets::Rows;
use spandrel_engine::{Join, JoinParams, Neighbour, SearchParams, Truth, recall_of};
use spandrel_index::VectorSource as _;

use crate::united::United;

/// Recall of both.
const RECALL: f64 = 0.95;
/// Rows of which all neighbours are known.
const SAMPLE: usize = 1000;

/// Joins an index of a set with itself, and searches it for `count` of its vectors.
pub(crate) fn measure(one: &United, set: &Set, count: usize, threads: usize) -> Result<()> {
    let vectors = usize::try_from(set.base.len())?;
    let step = vectors.div_ceil(count.max(1));
    // Some of those that are searched for.
    let sample_step = step * (count / SAMPLE).max(1);
    let sample = set.compared(every(&set.base, sample_step)?, threads)?;
    let numbers: Vec<u64> = (0..set.base.len()).step_by(sample_step).collect();
    let nearest = nearest(&numbers, sample.truth());
    println!("\n| neighbours of | recall | compared exactly | seconds | rows a second |");
    println!("|---|---|---|---|---|");
    let started = Instant::now();
    let params = JoinParams { k: K, radius: None, recall: RECALL, threads, memory_bytes: MEMORY_BYTES };
    let engine = one.first()?;
    let stop = Arc::new(AtomicBool::new(false));
    let mut join = Join::new(engine.index(), None, params, &stop, &|_| {})?;
    let tuned = join.tune()?;
    let mut found = BTreeMap::new();
    let work = join.run(tuned, 0, &mut |_, group| {
        let of_sample = group.queries.into_iter().zip(group.neighbours);
        found.extend(of_sample.filter(|(row, _)| nearest.contains_key(row)));
        true
    })?;
    let seconds = started.elapsed().as_secs_f64();
    let recall = mean_recall(set, &nearest, &found);
    // CAST: shown rounded, here and below
    let (rows, pairs) = (vectors as f64, work.pairs as f64);
    println!(
        "| every vector, joined | {recall:.3} | {:.0} | {seconds:.1} | {:.0} |",
        pairs / rows,
        rows / seconds
    );
    let searched = every(&set.base, step)?;
    // A vector is its own nearest, and left out as in the join.
    let params = SearchParams { recall: Some(RECALL), ..SearchParams::new(K + 1) };
    let started = Instant::now();
    let answers = engine.search(searched.bytes(), &params)?;
    let (seconds, rows) = (started.elapsed().as_secs_f64(), answers.len() as f64);
    let compared: f64 = answers.iter().map(|answer| f64::from(answer.work.reranked)).sum();
    let found = (0..).step_by(step).zip(answers).map(|(row, answer)| (row, answer.neighbours));
    let found: BTreeMap<u64, Vec<Neighbour>> = found.map(|(row, found)| (row, without(row, found))).collect();
    let recall = mean_recall(set, &nearest, &found);
    println!(
        "| {rows:.0} of them, searched | {recall:.3} | {:.0} | {seconds:.1} | {:.0} |",
        compared / rows,
        rows / seconds
    );
    Ok(())
}

/// Every `step`-th row.
fn every(rows: &Rows, step: usize) -> Result<Rows> {
    let bytes = rows.bytes().chunks(rows.row_bytes()).step_by(step).flatten().copied().collect();
    Ok(Rows::new(rows.dtype(), rows.dim(), bytes)?)
}

/// The nearest other vectors of some rows.
fn nearest(numbers: &[u64], truth: Truth<'_>) -> BTreeMap<u64, Vec<Neighbour>> {
    let ids = truth.ids.chunks(truth.columns);
    let rows = numbers.iter().zip(ids.zip(truth.distances.chunks(truth.columns)));
    let of = |(&row, (ids, distances)): (&u64, (&[u64], &[f32]))| {
        let all = ids.iter().zip(distances);
        let all = all.map(|(&id, &distance)| Neighbour { id, distance, estimated: false });
        (row, without(row, all.collect()))
    };
    rows.map(of).collect()
}

fn without(row: u64, mut found: Vec<Neighbour>) -> Vec<Neighbour> {
    found.retain(|near| near.id != row);
    found
}

/// Over the rows of which both are known.
fn mean_recall(
    set: &Set,
    nearest: &BTreeMap<u64, Vec<Neighbour>>,
    found: &BTreeMap<u64, Vec<Neighbour>>,
) -> f64 {
    let both = nearest.iter().filter_map(|(row, nearest)| Some((nearest, found.get(row)?)));
    let recalls: Vec<f64> = both.map(|(nearest, found)| recall_of(set.metric, found, nearest, K)).collect();
    recalls.iter().sum::<f64>() / recalls.len() as f64 // CAST: a sample
}
