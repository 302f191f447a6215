//! Searches within a radius: flags, answers put together, how much of a truth they hold.
mod bench;
mod precision;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use bytes::Bytes;
use clap::Args;
use spandrel_engine::{Answer, Distances, Engine, Neighbour, RangeParams, RangeRequest, SearchError};
use spandrel_index::Metric;

use super::search::KNOBS;
use crate::Session;
use crate::values::parse_share;

pub(super) use bench::{RangeSweep, measure};

/// All within a radius in place of the nearest.
#[derive(Debug, Clone, Args)]
pub struct RadiusArgs {
    /// All vectors within this distance in place of the k nearest: squared L2 or 1 - cos at most this, inner product at least
    /// this.
    #[arg(long, value_name = "R", allow_negative_numbers = true,
          conflicts_with_all = ["k", "recall", "epsilon", "max_lists", "rerank", "rerank_errors",
                                "rpc", "rate"])]
    pub radius: Option<f32>,
    /// Of those within the radius, the best alone.
    #[arg(long, value_name = "N", requires = "radius", value_parser = clap::value_parser!(u32).range(1..))]
    pub max_results: Option<u32>,
}

impl RadiusArgs {
    /// What is asked within a radius, if anything is.
    pub(super) fn params(&self, completeness: f32, distances: Distances) -> Option<RangeParams> {
        let max_results = self.max_results.map(|max| max as usize); // CAST: widening
        let params = RangeParams::new(self.radius?);
        Some(RangeParams { completeness, max_results, distances, ..params })
    }
}

/// The flag of completeness, for one value.
#[derive(Debug, Clone, Copy, Args)]
pub struct CompletenessArgs {
    /// Share of the vectors within the radius that is wanted: less reads less.
    #[arg(long, value_name = "SHARE", requires = "radius", default_value_t = 1.0, help_heading = KNOBS, value_parser = parse_share)]
    pub completeness: f32,
}

/// All vectors within the radius of one query, best first, with what the search took.
///
/// # Errors
/// [`SearchError`], also when the session is told to stop.
fn within(
    engine: &Engine,
    query: Bytes,
    params: &RangeParams,
    session: &Session,
) -> Result<Answer, SearchError> {
    let (begun, stop) = (Instant::now(), Some(session.stop.clone()));
    let mut search = engine.range(RangeRequest { query, params: params.clone(), deadline: None, stop })?;
    let mut neighbours = Vec::new();
    while let Some(found) = search.next(engine)? {
        neighbours.extend(found);
    }
    sort(engine.index().metric(), &mut neighbours);
    let latency_us = begun.elapsed().as_secs_f32() * 1e6;
    Ok(Answer { neighbours, latency_us, ..search.summary().answer.clone() })
}

/// Puts neighbours in order: best first, ties by id.
pub(super) fn sort(metric: Metric, neighbours: &mut [Neighbour]) {
    let score = |neighbour: &Neighbour| metric.score_of_distance(neighbour.distance);
    neighbours.sort_unstable_by(|a, b| score(a).total_cmp(&score(b)).then(a.id.cmp(&b.id)));
}

/// The answers to some queries back to back, of which `callers` are searched at the same time.
///
/// # Errors
/// [`SearchError`] of the first query that has none.
pub(super) fn answers(
    engine: &Engine,
    queries: &Bytes,
    params: &RangeParams,
    callers: usize,
    session: &Session,
) -> Result<Vec<Answer>, SearchError> {
    let row_bytes = engine.index().row_bytes();
    let (next, count) = (AtomicUsize::new(0), queries.len() / row_bytes);
    let call = || {
        let mut found = Vec::new();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= count {
                return found;
            }
            let row = queries.slice(number * row_bytes..(number + 1) * row_bytes);
            let answer = within(engine, row, params, session);
            if answer.is_err() {
                next.store(count, Ordering::Relaxed);
            }
            found.push((number, answer));
        }
    };
    let closed = |_| vec![(0, Err(SearchError::Closed))];
    let mut all: Vec<(usize, Result<Answer, SearchError>)> = thread::scope(|scope| {
        let threads: Vec<_> = (0..callers.min(count)).map(|_| scope.spawn(call)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap_or_else(closed)).collect()
    });
    all.sort_unstable_by_key(|(number, _)| *number);
    let numbered = all.into_iter().map(|(number, answer)| {
        answer.map_err(|error| match error {
            SearchError::Query(bad) => SearchError::Query(bad.after(number)),
            other => other,
        })
    });
    numbered.collect()
}
