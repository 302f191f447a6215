//! Searches within a radius: flags, answers put together, how much of a truth they hold.
mod bench;
mod precision;

use std::thread;

use bytes::Bytes;
use clap::Args;
use spandrel_engine::{Answer, Distances, Engine, Neighbour, RangeParams, RangeRequest, SearchError};
use spandrel_index::Metric;

use super::search::KNOBS;
use crate::Session;

pub(super) use bench::{RangeSweep, measure};

/// All within a radius in place of the nearest.
#[derive(Debug, Clone, Args)]
pub struct RadiusArgs {
    /// All vectors within this distance in place of the k nearest: squared L2 or 1 - cos at most this, inner product at least
    /// this.
    #[arg(long, value_name = "R", allow_negative_numbers = true,
          conflicts_with_all = ["k", "recall", "epsilon", "max_lists", "rerank", "rerank_errors"])]
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

/// Reads a share.
pub(super) fn parse_share(text: &str) -> Result<f32, String> {
    let share = text.parse().ok().filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| "expected a share from 0 to 1, such as 0.95".to_owned())
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
    let stop = Some(session.stop.clone());
    let mut search = engine.range(RangeRequest { query, params: params.clone(), deadline: None, stop })?;
    let mut neighbours = Vec::new();
    while let Some(found) = search.next(engine)? {
        neighbours.extend(found);
    }
    sort(engine.index().metric(), &mut neighbours);
    Ok(Answer { neighbours, ..search.summary().answer.clone() })
}

/// Puts neighbours in order: best first, ties by id.
pub(super) fn sort(metric: Metric, neighbours: &mut [Neighbour]) {
    let score = |neighbour: &Neighbour| metric.score_of_distance(neighbour.distance);
    neighbours.sort_unstable_by(|a, b| score(a).total_cmp(&score(b)).then(a.id.cmp(&b.id)));
}

/// The answers to some queries back to back, all searched at once.
///
/// # Errors
/// [`SearchError`] of the first query that has none.
pub(super) fn answers(
    engine: &Engine,
    queries: &Bytes,
    params: &RangeParams,
    session: &Session,
) -> Result<Vec<Answer>, SearchError> {
    let row_bytes = engine.index().row_bytes();
    let rows = (0..queries.len()).step_by(row_bytes).map(|at| queries.slice(at..at + row_bytes));
    let answers: Vec<Result<Answer, SearchError>> = thread::scope(|scope| {
        let threads: Vec<_> =
            rows.map(|row| scope.spawn(move || within(engine, row, params, session))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap_or(Err(SearchError::Closed))).collect()
    });
    let numbered = answers.into_iter().enumerate().map(|(number, answer)| {
        answer.map_err(|error| match error {
            SearchError::Query(bad) => SearchError::Query(bad.after(number)),
            other => other,
        })
    });
    numbered.collect()
}
