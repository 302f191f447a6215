//! Searches within a radius: flags, answers put together, how much of a truth they hold.
mod bench;
mod precision;

use std::time::Instant;

use bytes::Bytes;
use clap::Args;
use spandrel_engine::{Answer, Distances, Engine, Neighbour, RangeParams, RangeRequest, SearchError};
use spandrel_index::Metric;

use super::callers;
use super::filter::Searching;
use super::search::KNOBS;
use crate::Session;
use crate::values::parse_share;

pub(super) use bench::{RangeExamples, RangeSweep, mean_results, measure, point};
pub(super) use precision::Held;

/// All within a radius in place of the nearest.
#[derive(Debug, Clone, Args)]
pub struct RadiusArgs {
    /// All vectors within this distance in place of the k nearest: squared L2 or 1 - cos at most this, inner product at least
    /// this.
    #[arg(long, value_name = "R", allow_negative_numbers = true,
          conflicts_with_all = ["k", "recall", "epsilon", "max_lists", "rerank", "rerank_errors",
                                "rpc", "rate", "filter_plan"])]
    pub radius: Option<f32>,
    /// Of those within the radius, the best alone [default: all].
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
    params: RangeParams,
    session: &Session,
) -> Result<Answer, SearchError> {
    let (begun, stop) = (Instant::now(), Some(session.stop.clone()));
    let mut search = engine.range(RangeRequest { query, params, deadline: None, stop })?;
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

/// The answers to some queries back to back, of which the first is number `first` of all.
///
/// # Errors
/// [`SearchError`] or `CompileError` of the first query that has none.
pub(super) fn answers(
    searching: Searching<'_>,
    first: usize,
    queries: &Bytes,
    params: &RangeParams,
) -> anyhow::Result<Vec<Answer>> {
    let Searching { engine, callers, session, .. } = searching;
    let row_bytes = engine.index().row_bytes();
    callers::answers(queries.len() / row_bytes, callers, |number| {
        let params = RangeParams { filter: searching.filter(first + number)?, ..params.clone() };
        let row = queries.slice(number * row_bytes..(number + 1) * row_bytes);
        Ok(within(engine, row, params, session)?)
    })
}
