//! Measuring searches within a radius.
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::json;
use spandrel_datasets::{RangeTruth, Rows};
use spandrel_engine::{Answer, Engine, EngineConfig, RangeParams, SearchError};
use spandrel_index::{Index, VectorSource as _};
use spandrel_io::{BackendChoice, Direct};

use super::precision::Held;
use super::within;
use crate::Session;
use crate::commands::measure::build_seconds;
use crate::commands::search::{open_engine, refuse_damage};
use crate::figures::{LatencySummary, Machine, Params, Point, process_memory};

/// What to measure within a radius.
pub(in crate::commands) struct RangeSweep {
    /// What to call the run.
    pub(in crate::commands) label: String,
    pub(in crate::commands) threads: usize,
    pub(in crate::commands) in_flight: Vec<usize>,
    /// One entry for each point.
    pub(in crate::commands) params: Vec<RangeParams>,
    pub(in crate::commands) io: BackendChoice,
    pub(in crate::commands) direct: Direct,
    /// Memory for pages that were read.
    pub(in crate::commands) cache_bytes: u64,
    /// Shortest time to measure a point for.
    pub(in crate::commands) seconds: f64,
}

/// Measures every point.
pub(in crate::commands) fn measure(
    index: &Arc<Index>,
    queries: &Rows,
    truth: &RangeTruth,
    sweep: &RangeSweep,
    session: &Session,
) -> anyhow::Result<Vec<Point>> {
    truth.validate(queries.len())?;
    let meter = session.meter();
    let mut points = Vec::new();
    for &in_flight in &sweep.in_flight {
        let config = EngineConfig {
            threads: sweep.threads,
            in_flight,
            io: sweep.io,
            direct: sweep.direct,
            cache_bytes: sweep.cache_bytes,
        };
        let engine = open_engine(index, config, session)?;
        for params in &sweep.params {
            let completeness = params.completeness;
            meter.phase(&format!("searching, {in_flight} in flight, completeness {completeness}"), "queries");
            let run = run(&engine, queries, params, sweep.threads * in_flight, sweep.seconds, session)?;
            meter.finish();
            refuse_damage(&engine, run.answers.iter().filter(|a| a.missing.parts() > 0).count())?;
            points.push(point(&engine, truth, sweep, in_flight, params, run));
        }
    }
    Ok(points)
}

/// What passes over all queries gave.
struct Run {
    /// Answers of the first pass.
    answers: Vec<Answer>,
    latencies_ns: Vec<u64>,
    elapsed: Duration,
}

/// Keeps `callers` searches going until all queries were answered once and the time is over.
fn run(
    engine: &Engine,
    queries: &Rows,
    params: &RangeParams,
    callers: usize,
    seconds: f64,
    session: &Session,
) -> Result<Run, SearchError> {
    let rows = Bytes::copy_from_slice(queries.bytes());
    let (row_bytes, count) = (queries.row_bytes(), queries.bytes().len() / queries.row_bytes());
    let (next, start) = (AtomicUsize::new(0), Instant::now());
    let call = || -> Result<Vec<(usize, Answer, Duration)>, SearchError> {
        let mut found = Vec::new();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= count && start.elapsed().as_secs_f64() >= seconds {
                return Ok(found);
            }
            let at = number % count * row_bytes;
            let begun = Instant::now();
            let answer = within(engine, rows.slice(at..at + row_bytes), params, session)?;
            // Later passes give the same.
            let answer = if number < count { answer } else { Answer::default() };
            found.push((number, answer, begun.elapsed()));
        }
    };
    let called: Vec<Result<Vec<_>, SearchError>> = thread::scope(|scope| {
        let threads: Vec<_> = (0..callers).map(|_| scope.spawn(call)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap_or(Err(SearchError::Closed))).collect()
    });
    let elapsed = start.elapsed();
    let mut all = Vec::new();
    for found in called {
        all.extend(found?);
    }
    all.sort_unstable_by_key(|(number, ..)| *number);
    // CAST: a latency in nanoseconds fits
    let latencies_ns = all.iter().map(|(.., taken)| taken.as_nanos() as u64).collect();
    let answers = all.into_iter().take(count).map(|(_, answer, _)| answer).collect();
    Ok(Run { answers, latencies_ns, elapsed })
}

fn point(
    engine: &Engine,
    truth: &RangeTruth,
    sweep: &RangeSweep,
    in_flight: usize,
    params: &RangeParams,
    mut run: Run,
) -> Point {
    let index = engine.index();
    let held = Held::of(index.metric(), &run.answers, truth);
    let latency = LatencySummary::of(&mut run.latencies_ns);
    let results: usize = run.answers.iter().map(|answer| answer.neighbours.len()).sum();
    let mut settings = json!({ "radius": params.radius, "completeness": params.completeness });
    if let Some(max_results) = params.max_results {
        settings["max_results"] = max_results.into();
    }
    let point = Point {
        label: Some(sweep.label.clone()),
        index: Some(index.dir().display().to_string()),
        machine: Some(Machine::detect().to_string()),
        code: Some(index.code().to_string()),
        codes: Some(index.codes_tier().to_string()),
        vectors: Some(index.vectors_tier().to_string()),
        distances: Some(params.distances.to_string()),
        params: Params::Other(settings),
        threads: Some(sweep.threads as u64), // CAST: widening, here and below
        in_flight: Some(in_flight as u64),
        io: Some(engine.io().backend.to_string()),
        direct: Some(engine.io().direct),
        recall: held.completeness,
        average_precision: Some(held.average_precision),
        results: Some(results as f64 / run.answers.len().max(1) as f64), // CAST: exact to 2^53, here and below
        qps: run.latencies_ns.len() as f64 / run.elapsed.as_secs_f64().max(1e-9),
        memory_bytes: Some((index.memory().total() as u64 + engine.cache_bytes()) as f64),
        rss_anon_bytes: process_memory().map(|memory| memory.rss_anon_bytes as f64),
        index_bytes: Some(index.manifest().index_bytes() as f64),
        build_seconds: build_seconds(index),
        ..Point::of_work(run.answers.iter())
    };
    point.with_latencies(&latency)
}
