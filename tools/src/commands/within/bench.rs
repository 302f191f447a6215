//! Measuring searches within a radius.
use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Value, json};
use spandrel_datasets::{RangeTruth, Rows};
use spandrel_engine::{Answer, RangeParams};
use spandrel_index::{Index, VectorSource as _};

use super::answers;
use super::precision::Held;
use crate::Session;
use crate::commands::filter::{Compiler, Searching};
use crate::commands::running::Setup;
use crate::figures::{Params, Point, short};

/// What to measure within a radius.
#[derive(Debug, Clone)]
pub(in crate::commands) struct RangeSweep {
    pub(in crate::commands) setup: Setup,
    /// One entry for each point.
    pub(in crate::commands) params: Vec<RangeParams>,
}

/// Queries, and all that is within the radius of each.
#[derive(Clone, Copy)]
pub(in crate::commands) struct RangeExamples<'a> {
    pub(in crate::commands) queries: &'a Rows,
    pub(in crate::commands) truth: &'a RangeTruth,
    /// Filters of the queries.
    pub(in crate::commands) filters: Option<&'a Compiler<'a>>,
}

/// Measures every point.
pub(in crate::commands) fn measure(
    index: &Arc<Index>,
    examples: RangeExamples<'_>,
    sweep: &RangeSweep,
    session: &Session,
) -> anyhow::Result<Vec<Point>> {
    let RangeExamples { queries, truth, filters } = examples;
    if let Some(filters) = filters {
        filters.compile_all(sweep.setup.engine.threads, session)?;
    }
    let rows = Bytes::copy_from_slice(queries.bytes());
    sweep.setup.points(index, &sweep.params, session, |running, params| {
        let callers = sweep.setup.engine.threads * running.in_flight;
        let searching = Searching { engine: running.engine(), filters, callers, session };
        let name = format!("completeness={}", params.completeness);
        let run = running.run(&name, queries.len() as usize, |count| {
            // CAST: in memory
            let rows = rows.slice(..count * queries.row_bytes());
            answers(searching, 0, &rows, params)
        })?;
        let held = Held::of(index.metric(), &run.answers, truth);
        Ok(point(params, held, mean_results(&run.answers), running.point(run)))
    })
}

/// A point with what its answers hold, and how many results these have.
pub(in crate::commands) fn point(params: &RangeParams, held: Held, results: f64, point: Point) -> Point {
    Point {
        distances: Some(params.distances.to_string()),
        params: Params::Other(settings(params)),
        recall: held.completeness,
        average_precision: Some(held.average_precision),
        results: Some(results),
        ..point
    }
}

/// Results of an answer, the mean over all.
pub(in crate::commands) fn mean_results(answers: &[Answer]) -> f64 {
    let results: usize = answers.iter().map(|answer| answer.neighbours.len()).sum();
    results as f64 / answers.len().max(1) as f64 // CAST: exact to 2^53
}

/// The settings of a point.
fn settings(params: &RangeParams) -> Value {
    let mut settings = json!({ "radius": short(params.radius), "completeness": short(params.completeness) });
    if let Some(max_results) = params.max_results {
        settings["max_results"] = max_results.into();
    }
    settings
}
