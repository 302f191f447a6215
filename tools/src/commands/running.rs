//! An index run under a setup: passes over queries until the time is over, and the point that comes of them.
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Deserialize;
use spandrel_engine::{Answer, Engine, EngineConfig};
use spandrel_index::format::VectorsOf;
use spandrel_index::{Index, Tier};
use spandrel_io::disk::{DiskParams, Load, measure_file};

use super::search::{open_engine, refuse_damage};
use super::union::Union;
use crate::figures::{LatencySummary, Machine, Point, process_memory};
use crate::{Meter, Session};

/// How an index is run while it is measured.
#[derive(Debug, Clone)]
pub(super) struct Setup {
    /// What to call the run.
    pub(super) label: String,
    /// The engine, but for the number of queries in flight.
    pub(super) engine: EngineConfig,
    pub(super) in_flight: Vec<usize>,
    /// Shortest time to measure a point for.
    pub(super) seconds: f64,
}

impl Setup {
    pub(super) fn engine_config(&self, in_flight: usize) -> EngineConfig {
        EngineConfig { in_flight, ..self.engine }
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
            let running = Running { setup: self, engines: vec![engine], in_flight, meter: &meter };
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

    /// As [`Setup::points`], of several indexes as one. The disk is not measured.
    pub(super) fn points_of<P>(
        &self,
        union: &Union,
        params: &[P],
        session: &Session,
        one: impl Fn(&Running<'_>, &P) -> anyhow::Result<Point>,
    ) -> anyhow::Result<Vec<Point>> {
        let meter = session.meter();
        let mut points = Vec::new();
        for &in_flight in &self.in_flight {
            let engines = union.engines(self.engine_config(in_flight), session)?;
            let running = Running { setup: self, engines, in_flight, meter: &meter };
            for params in params {
                points.push(one(&running, params)?);
                meter.finish();
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
        let vectors = [VectorsOf::Column, VectorsOf::Main].into_iter().find(|&of| index.holds(of));
        let vectors = vectors.filter(|_| in_memory).map(|of| &largest.vectors(of).path);
        let path = vectors.unwrap_or(&largest.codes.path);
        let length = fs_err::metadata(path)?.len();
        if length < u64::from(bytes) {
            return Ok(f64::INFINITY);
        }
        let params = DiskParams {
            backend: setup.engine.io,
            direct: setup.engine.direct,
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

/// An engine that is measured, or those of several indexes as one.
pub(super) struct Running<'a> {
    pub(super) engines: Vec<Engine>,
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
    /// The engine of the first index.
    pub(super) fn engine(&self) -> &Engine {
        let Some(first) = self.engines.first() else { unreachable!("an index is measured") };
        first
    }

    /// Memory for pages that were read.
    fn cache_bytes(&self) -> u64 {
        self.engines.iter().map(Engine::cache_bytes).sum()
    }

    /// Searches for all `count` queries until the time is over, once at least, after some of them as a warm-up. `pass` answers the first
    /// queries, of a number that it is given; `settings` says how.
    pub(super) fn run(
        &self,
        settings: &str,
        count: usize,
        pass: impl Fn(usize) -> anyhow::Result<Vec<Answer>>,
    ) -> anyhow::Result<Run> {
        let Running { in_flight, meter, .. } = self;
        meter.phase(format!("searching, {in_flight} in flight {settings}").trim_end(), "queries");
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
            let damaged = self.engines.iter().find(|engine| engine.damage_count() > 0);
            let incomplete = answers.iter().filter(|a| a.missing.parts() > 0).count();
            refuse_damage(damaged.unwrap_or(self.engine()), incomplete)?;
            // CAST: a latency in nanoseconds fits
            run.latencies_ns.extend(answers.iter().map(|a| (f64::from(a.latency_us) * 1e3) as u64));
            run.cache_hits += answers.iter().map(|a| u64::from(a.work.cache_hits)).sum::<u64>();
            // With a cache the later passes read less, and what is told of reads has to be of those.
            if run.answers.is_empty() || self.cache_bytes() > 0 {
                run.answers = answers;
            }
            meter.set(run.latencies_ns.len() as u64, 0); // CAST: widening
        }
        Ok(run)
    }

    /// All that a run tells but what was asked, and how well that was answered.
    pub(super) fn point(&self, mut run: Run) -> Point {
        let (engine, cache_bytes) = (self.engine(), self.cache_bytes());
        let indexes = || self.engines.iter().map(Engine::index);
        let named = |name: fn(&Index) -> String| {
            let mut names: Vec<String> = indexes().map(|index| name(index)).collect();
            names.dedup();
            Some(names.join(", "))
        };
        // CAST: exact to 2^53, here and below
        let sum = |bytes: fn(&Index) -> u64| indexes().map(|index| bytes(index)).sum::<u64>();
        let latency = LatencySummary::of(&mut run.latencies_ns);
        let count = run.latencies_ns.len() as f64; // CAST: exact to 2^53
        let point = Point {
            label: Some(self.setup.label.clone()),
            index: named(|index| index.dir().display().to_string()),
            machine: Some(Machine::detect().to_string()),
            code: named(|index| index.code().to_string()),
            codes: named(|index| index.codes_tier().to_string()),
            vectors: named(|index| index.vectors_tier().to_string()),
            // CAST: widening, here and below
            threads: Some(self.setup.engine.threads as u64),
            in_flight: Some(self.in_flight as u64),
            io: Some(engine.io().backend.to_string()),
            direct: Some(engine.io().direct),
            qps: count / run.elapsed.as_secs_f64().max(1e-9),
            cache_hits: (cache_bytes > 0).then(|| run.cache_hits as f64 / count), // CAST: as above
            memory_bytes: Some((sum(|index| index.memory().total() as u64) + cache_bytes) as f64),
            rss_anon_bytes: run.rss_anon_bytes.map(|bytes| bytes as f64),
            index_bytes: Some(sum(|index| index.manifest().index_bytes()) as f64),
            build_seconds: indexes().map(|index| build_seconds(index)).sum(),
            ..Point::of_work(run.answers.iter())
        };
        point.with_latencies(&latency)
    }
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
