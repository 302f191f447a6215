//! Measuring operating points of an index.
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde::Deserialize;
use spandrel_datasets::{Rows, Truth};
use spandrel_engine::{
    Answer, Distances, Engine, EngineConfig, FetchContent, FetchState, Fetched, Lookup, QueryPlan, Rerank,
    SearchParams, recall,
};
use spandrel_index::{Index, Metric, Tier, VectorSource as _};
use spandrel_io::disk::{DiskParams, Load, measure_file};
use spandrel_io::{BackendChoice, Direct};

use super::filter::{Compiler, Searching};
use super::search::{open_engine, refuse_damage};
use super::truth_check::{Sample, Stored, check_count, nearer_than_truth, note_nearer};
use crate::figures::{LatencySummary, Machine, Params, Point, PointParams, process_memory};
use crate::{Advised, Meter, Session};

/// How an index is run while it is measured.
#[derive(Debug, Clone)]
pub(super) struct Setup {
    /// What to call the run.
    pub(super) label: String,
    pub(super) threads: usize,
    pub(super) in_flight: Vec<usize>,
    pub(super) io: BackendChoice,
    pub(super) direct: Direct,
    /// Memory for pages that were read.
    pub(super) cache_bytes: u64,
    /// Shortest time to measure a point for.
    pub(super) seconds: f64,
}

/// What to measure of the nearest.
#[derive(Debug, Clone)]
pub(super) struct Sweep {
    pub(super) setup: Setup,
    pub(super) k: usize,
    /// Pruning, one entry for each point.
    pub(super) params: Vec<PointParams>,
    pub(super) distances: Distances,
    /// Whether the time of queries is taken stage by stage.
    pub(super) stages: bool,
}

/// Queries and their true neighbours.
#[derive(Clone, Copy)]
pub(super) struct Examples<'a> {
    pub(super) queries: &'a Rows,
    pub(super) truth: &'a Truth,
    /// Filters of the queries, by which the truth was computed.
    pub(super) filters: Option<&'a Compiler<'a>>,
}

/// Values to be measured; an empty list leaves a setting to the index.
#[derive(Debug, Clone, Default)]
pub(super) struct Pruning {
    pub(super) recall: Vec<f64>,
    pub(super) epsilon: Vec<f32>,
    pub(super) max_lists: Vec<u32>,
    pub(super) rerank: Vec<u32>,
    pub(super) rerank_errors: Vec<f32>,
}

/// Every combination of the values; one point that leaves all to the index where there are none.
pub(super) fn cross(values: &Pruning) -> Vec<PointParams> {
    fn or_none<T: Copy>(values: &[T]) -> Vec<Option<T>> {
        if values.is_empty() { vec![None] } else { values.iter().copied().map(Some).collect() }
    }
    let mut params = Vec::new();
    for recall in or_none(&values.recall) {
        for epsilon in or_none(&values.epsilon) {
            for max_lists in or_none(&values.max_lists) {
                for rerank in or_none(&values.rerank) {
                    for rerank_errors in or_none(&values.rerank_errors) {
                        params.push(PointParams { recall, epsilon, max_lists, rerank, rerank_errors });
                    }
                }
            }
        }
    }
    params
}

/// Refuses a truth that cannot be that of the queries, or is too narrow.
pub(super) fn check_truth(truth: &Truth, queries: &Rows, k: usize, is_filtered: bool) -> anyhow::Result<()> {
    match is_filtered {
        false => truth.validate(queries.len(), u64::MAX)?,
        true => truth.validate_filtered(queries.len(), u64::MAX)?,
    }
    if truth.k < k {
        let message =
            format!("recall at {k} asked for, the truth holds the {} nearest of each query", truth.k);
        let help = "ask for fewer with --k, or compute more with `spandrel data truth`";
        return Err(Advised::new(message, help).into());
    }
    Ok(())
}

/// Measures every point.
pub(super) fn measure(
    index: &Arc<Index>,
    examples: Examples<'_>,
    sweep: &Sweep,
    session: &Session,
) -> anyhow::Result<Vec<Point>> {
    let Examples { queries, truth, filters } = examples;
    check_truth(truth, queries, sweep.k, filters.is_some())?;
    check_sample(index, examples, &sweep.setup)?;
    let known = spandrel_engine::Truth {
        ids: &truth.ids,
        distances: truth.distances.as_deref().unwrap_or_default(),
        columns: truth.k,
    };
    if let Some(filters) = filters {
        filters.compile_all(sweep.setup.threads, session)?;
    }
    let compile_us = filters.map(Compiler::compile_us).transpose()?;
    sweep.setup.points(index, &sweep.params, session, |running, params| {
        let search =
            SearchParams { distances: sweep.distances, times: sweep.stages, ..params.search(sweep.k) };
        let plan = QueryPlan::of(&search, index)?;
        let callers = sweep.setup.threads * running.in_flight;
        let searching = Searching { engine: &running.engine, filters, callers, session };
        let run = running.run(&params.to_string(), queries, |count| {
            searching.answers(0, &queries.bytes()[..count * queries.row_bytes()], &search)
        })?;
        let recall = match filters {
            None => recall(index.metric(), &run.answers, known, sweep.k)?,
            Some(_) => filtered_recall(index.metric(), (0..).zip(&run.answers), truth, sweep.k)?,
        };
        let nearer = nearer_than_truth(index.metric(), (0..).zip(&run.answers), truth, sweep.k);
        note_nearer(nearer, session);
        let point = Point { k: Some(sweep.k as u64), recall, ..running.point(run) }; // CAST: widening
        // Each thread compiles the filters of the queries that it searches for.
        let uncached = |us: f64| (point.qps.recip() + us / 1e6 / sweep.setup.threads as f64).recip(); // CAST: exact
        Ok(Point {
            compile_us,
            uncached_qps: compile_us.map(uncached),
            distances: Some(sweep.distances.to_string()),
            params: Params::Ours(PointParams {
                recall: search.recall,
                epsilon: plan.epsilon(),
                max_lists: Some(plan.lists()),
                rerank: if let Some(Rerank::Count(count)) = plan.rerank() { Some(count) } else { None },
                rerank_errors: if let Some(Rerank::Errors(errors)) = plan.rerank() {
                    Some(errors)
                } else {
                    None
                },
            }),
            ..point
        })
    })
}

/// The mean recall of queries that may have fewer than `k` neighbours: the share found of those that there are, 1 where there
/// is none. Answers come with the numbers of their queries.
pub(super) fn filtered_recall<'a>(
    metric: Metric,
    answers: impl Iterator<Item = (usize, &'a Answer)>,
    truth: &Truth,
    k: usize,
) -> anyhow::Result<f64> {
    let (mut sum, mut count) = (0.0, 0_u32);
    for (query, answer) in answers {
        count += 1;
        if let Some(filtered) = answer.filtered {
            check_count(truth, query, filtered.matches)?;
        }
        let ids = truth.ids_of(query);
        let distances = truth.distances.as_deref().unwrap_or_default();
        let known = spandrel_engine::Truth {
            ids,
            distances: distances.get(query * truth.k..query * truth.k + ids.len()).unwrap_or_default(),
            columns: ids.len(),
        };
        sum += match k.min(ids.len()) {
            0 => 1.0,
            k => recall(metric, std::slice::from_ref(answer), known, k)?,
        };
    }
    Ok(sum / f64::from(count.max(1)))
}

impl Setup {
    pub(super) fn engine_config(&self, in_flight: usize) -> EngineConfig {
        let &Setup { threads, io, direct, cache_bytes, .. } = self;
        EngineConfig { threads, in_flight, io, direct, cache_bytes }
    }

    /// The points of some parameters, each measured by `one` with every number of queries in flight.
    pub(super) fn points<P>(
        &self,
        index: &Arc<Index>,
        params: &[P],
        session: &Session,
        one: impl Fn(&Running<'_>, &P) -> anyhow::Result<Point>,
    ) -> anyhow::Result<Vec<Point>> {
        let meter = session.meter();
        let mut limit = DiskLimit { measured: Vec::new() };
        let mut points = Vec::new();
        for &in_flight in &self.in_flight {
            let engine = open_engine(index, self.engine_config(in_flight), session)?;
            let running = Running { setup: self, engine, in_flight, meter: &meter };
            for params in params {
                let mut point = one(&running, params)?;
                if let (Some(reads), Some(bytes)) =
                    (point.reads.filter(|reads| *reads > 0.0), point.read_bytes)
                {
                    meter.phase("measuring the disk by itself", "reads");
                    let possible = limit.reads_per_s(index, bytes / reads, self, session)?;
                    let seen = point.qps * reads;
                    // What the run itself took, the disk can give.
                    point.disk_share = Some(seen / possible.max(seen));
                }
                meter.finish();
                points.push(point);
            }
        }
        Ok(points)
    }
}

/// What the disk gives by itself on the index's own file, by bytes of a read.
struct DiskLimit {
    measured: Vec<(u32, f64)>,
}

impl DiskLimit {
    /// Reads finished in a second, of about `bytes` each, at the queue depth at which the disk gives most.
    fn reads_per_s(
        &mut self,
        index: &Index,
        bytes: f64,
        setup: &Setup,
        session: &Session,
    ) -> anyhow::Result<f64> {
        // CAST: a few pages
        let bytes = (bytes / 4096.0).round().max(1.0) as u32 * 4096;
        if let Some((_, rate)) = self.measured.iter().find(|(of, _)| *of == bytes) {
            return Ok(*rate);
        }
        // What is read the most: of the largest segment, if there are several.
        let Some(largest) = index.segments().iter().max_by_key(|segment| segment.count) else {
            unreachable!("an index has a segment")
        };
        let in_memory = index.codes_tier() == Tier::Memory;
        let path = if in_memory { &largest.vectors.path } else { &largest.codes.path };
        let length = fs_err::metadata(path)?.len();
        if length < u64::from(bytes) {
            return Ok(f64::INFINITY);
        }
        let params = DiskParams {
            backend: setup.io,
            direct: setup.direct,
            duration: Duration::from_millis(500),
            loads: vec![Load { bytes, depth: 128 }],
            ..DiskParams::default()
        };
        let report = measure_file(path, &params, &session.stop)?;
        let rate = report.rows.first().map_or(f64::INFINITY, |row| row.reads_per_s);
        self.measured.push((bytes, rate));
        Ok(rate)
    }
}

/// An engine that is measured.
pub(super) struct Running<'a> {
    pub(super) engine: Engine,
    pub(super) in_flight: usize,
    setup: &'a Setup,
    meter: &'a Meter,
}

/// What passes over all queries gave.
pub(super) struct Run {
    /// Answers of the first pass; the later ones are the same. With a cache, of the last pass.
    pub(super) answers: Vec<Answer>,
    /// Pages found in the cache in all passes.
    cache_hits: u64,
    latencies_ns: Vec<u64>,
    elapsed: Duration,
    /// Anonymous memory of the process once warm, before answers and samples pile up here; none where it is not known.
    rss_anon_bytes: Option<u64>,
}

/// Queries that warm up an engine before it is measured.
const WARM_UP: usize = 200;

impl Running<'_> {
    /// Searches for all queries until the time is over, once at least, after some of them as a warm-up. `pass` answers the first
    /// queries, of a number that it is given; `settings` says how.
    pub(super) fn run(
        &self,
        settings: &str,
        queries: &Rows,
        pass: impl Fn(usize) -> anyhow::Result<Vec<Answer>>,
    ) -> anyhow::Result<Run> {
        let Running { engine, in_flight, meter, .. } = self;
        meter.phase(format!("searching, {in_flight} in flight {settings}").trim_end(), "queries");
        let count = queries.bytes().len() / queries.row_bytes();
        pass(count.min(WARM_UP))?;
        let mut run = Run {
            answers: Vec::new(),
            cache_hits: 0,
            latencies_ns: Vec::new(),
            elapsed: Duration::ZERO,
            rss_anon_bytes: process_memory().map(|memory| memory.rss_anon_bytes),
        };
        while run.answers.is_empty() || run.elapsed.as_secs_f64() < self.setup.seconds {
            let start = Instant::now();
            let answers = pass(count)?;
            run.elapsed += start.elapsed();
            refuse_damage(engine, answers.iter().filter(|a| a.missing.parts() > 0).count())?;
            // CAST: a latency in nanoseconds fits
            run.latencies_ns.extend(answers.iter().map(|a| (f64::from(a.latency_us) * 1e3) as u64));
            run.cache_hits += answers.iter().map(|a| u64::from(a.work.cache_hits)).sum::<u64>();
            // With a cache the later passes read less, and what is told of reads has to be of those.
            if run.answers.is_empty() || engine.cache_bytes() > 0 {
                run.answers = answers;
            }
            meter.set(run.latencies_ns.len() as u64, 0); // CAST: widening
        }
        Ok(run)
    }

    /// All that a run tells but what was asked, and how well that was answered.
    pub(super) fn point(&self, mut run: Run) -> Point {
        let (engine, index) = (&self.engine, self.engine.index());
        let latency = LatencySummary::of(&mut run.latencies_ns);
        let count = run.latencies_ns.len() as f64; // CAST: exact to 2^53
        let point = Point {
            label: Some(self.setup.label.clone()),
            index: Some(index.dir().display().to_string()),
            machine: Some(Machine::detect().to_string()),
            code: Some(index.code().to_string()),
            codes: Some(index.codes_tier().to_string()),
            vectors: Some(index.vectors_tier().to_string()),
            // CAST: widening, here and below
            threads: Some(self.setup.threads as u64),
            in_flight: Some(self.in_flight as u64),
            io: Some(engine.io().backend.to_string()),
            direct: Some(engine.io().direct),
            qps: count / run.elapsed.as_secs_f64().max(1e-9),
            cache_hits: (engine.cache_bytes() > 0).then(|| run.cache_hits as f64 / count), // CAST: as above
            // CAST: exact to 2^53, here and below
            memory_bytes: Some((index.memory().total() as u64 + engine.cache_bytes()) as f64),
            rss_anon_bytes: run.rss_anon_bytes.map(|bytes| bytes as f64),
            index_bytes: Some(index.manifest().index_bytes() as f64),
            build_seconds: build_seconds(index),
            ..Point::of_work(run.answers.iter())
        };
        point.with_latencies(&latency)
    }
}

/// Refuses a truth that does not fit, by vectors of the index.
fn check_sample(index: &Arc<Index>, examples: Examples<'_>, setup: &Setup) -> anyhow::Result<()> {
    let lookup = Arc::new(Lookup::open(Arc::clone(index))?);
    let config = EngineConfig { threads: 1, cache_bytes: 0, ..setup.engine_config(1) };
    let engine = Engine::open(Arc::clone(index), config)?;
    let sample = Sample::of(examples.truth);
    let mut found = Vec::new();
    let attributes = match examples.filters {
        Some(_) => (0..index.schema().attributes().len()).collect(),
        None => Vec::new(),
    };
    let width = attributes.len();
    let content = FetchContent { vectors: true, attributes, cell_bytes_max: usize::MAX };
    for ids in sample.ids() {
        let Fetched { rows, cells, states } = engine.fetch_content(&lookup, &ids, content.clone())?;
        let (mut rows, mut cells) = (rows.chunks_exact(index.row_bytes()), cells.into_iter());
        let held = ids.iter().zip(states).map(|(&id, state)| match state {
            FetchState::Found => Ok(rows.next().map(|row| Stored {
                id,
                vector: row.to_vec(),
                cells: cells.by_ref().take(width).collect(),
            })),
            FetchState::Absent => Ok(None),
            FetchState::Damaged => Err(anyhow::anyhow!("the vector {id} cannot be read; verify the index")),
        });
        found.push(held.collect::<Result<Vec<_>, _>>()?);
    }
    Ok(sample.check(index.metric(), examples.queries, examples.filters.map(Compiler::asked), &found)?)
}

/// How long the build took, by the statistics it left behind; none where they are gone.
fn build_seconds(index: &Index) -> Option<f64> {
    #[derive(Deserialize)]
    struct Stats {
        build_seconds: f64,
    }
    let path = index.dir().join(format!("build-stats-{}.json", index.manifest().version));
    let stats: Stats = serde_json::from_slice(&fs_err::read(path).ok()?).ok()?;
    Some(stats.build_seconds).filter(|seconds| seconds.is_finite())
}

/// The file that `--json` asks for.
pub(super) fn json(points: &[Point]) -> anyhow::Result<Vec<u8>> {
    let mut bytes = serde_json::to_vec_pretty(points).context("writing operating points as JSON")?;
    bytes.push(b'\n');
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_crossed() {
        let none = Pruning::default();
        assert_eq!(cross(&none), [PointParams::default()]);
        let lists = Pruning { max_lists: vec![8, 16], ..none.clone() };
        let point = |max_lists| PointParams { max_lists: Some(max_lists), ..PointParams::default() };
        assert_eq!(cross(&lists), [point(8), point(16)]);
        let all = Pruning { epsilon: vec![0.5, 1.0], rerank: vec![10, 20, 30], ..lists };
        assert_eq!(cross(&all).len(), 12);
    }

    #[test]
    fn truth_must_fit() {
        let queries = Rows::new(spandrel_index::DType::U8, 1, vec![1, 2]).unwrap();
        let truth =
            |queries: usize, k: usize| Truth { queries, k, ids: vec![0; queries * k], distances: None };
        assert!(check_truth(&truth(2, 3), &queries, 3, false).is_ok());
        assert!(check_truth(&truth(3, 3), &queries, 3, false).is_err());
        assert!(
            check_truth(&truth(2, 2), &queries, 3, false).unwrap_err().to_string().contains("recall at 3")
        );
    }
}
