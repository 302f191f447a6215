//! What the server counts, for Prometheus. Handles are made once; counting is an atomic addition.
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use spandrel_engine::Answer;

/// Upper ends of the classes of times, in seconds.
const SECONDS: [f64; 16] = [
    50e-6, 100e-6, 200e-6, 400e-6, 800e-6, 1.6e-3, 3.2e-3, 6.4e-3, 12.8e-3, 25.6e-3, 51.2e-3, 0.1, 0.2, 0.5,
    2.0, 10.0,
];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct RequestLabels {
    pub(crate) method: &'static str,
    pub(crate) code: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct MethodLabels {
    method: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct IndexLabels {
    index: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
enum Stage {
    Queue,
    Search,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StageLabels {
    index: String,
    stage: Stage,
}

type Times<L> = Family<L, Histogram, fn() -> Histogram>;

/// Every count that does not follow from looking at the indexes.
pub(crate) struct Metrics {
    pub(crate) requests: Family<RequestLabels, Counter>,
    request_seconds: Times<MethodLabels>,
    stage_seconds: Times<StageLabels>,
    queries: Family<IndexLabels, Counter>,
    lists: Family<IndexLabels, Counter>,
    reads: Family<IndexLabels, Counter>,
    pages: Family<IndexLabels, Counter>,
    read_bytes: Family<IndexLabels, Counter>,
    codes: Family<IndexLabels, Counter>,
    reranked: Family<IndexLabels, Counter>,
    degraded: Family<IndexLabels, Counter>,
    partial: Family<IndexLabels, Counter>,
    refused: Family<IndexLabels, Counter>,
    pub(crate) connections: Gauge,
    pub(crate) connections_refused: Counter,
    pub(crate) in_flight_bytes: Gauge,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}

fn times() -> Histogram {
    Histogram::new(SECONDS)
}

impl Metrics {
    /// Makes the counts and enters them into `registry`.
    pub(crate) fn new(registry: &mut Registry) -> Arc<Metrics> {
        let metrics = Metrics {
            requests: Family::default(),
            request_seconds: Family::new_with_constructor(times),
            stage_seconds: Family::new_with_constructor(times),
            queries: Family::default(),
            lists: Family::default(),
            reads: Family::default(),
            pages: Family::default(),
            read_bytes: Family::default(),
            codes: Family::default(),
            reranked: Family::default(),
            degraded: Family::default(),
            partial: Family::default(),
            refused: Family::default(),
            connections: Gauge::default(),
            connections_refused: Counter::default(),
            in_flight_bytes: Gauge::default(),
        };
        let m = &metrics;
        registry.register("requests", "Calls answered, by method and gRPC status code", m.requests.clone());
        let help = "Time from a call's headers to its answer, or to the first answer of a stream";
        registry.register_with_unit("request", help, Unit::Seconds, m.request_seconds.clone());
        let help = "Time of a query in the queue and in a search thread";
        registry.register_with_unit("stage", help, Unit::Seconds, m.stage_seconds.clone());
        for (name, help, family) in [
            ("queries", "Queries answered", &m.queries),
            ("query_lists", "Lists searched", &m.lists),
            ("query_reads", "Requests to the disk", &m.reads),
            ("query_pages", "4 KiB pages that requests to the disk touched", &m.pages),
            ("query_read_bytes", "Bytes requested from the disk", &m.read_bytes),
            ("query_codes", "Vectors compared or estimated from their codes", &m.codes),
            ("query_reranked", "Vectors compared exactly after their codes were scanned", &m.reranked),
            ("queries_degraded", "Queries searched less thoroughly because of load", &m.degraded),
            ("queries_partial", "Answers that miss damaged parts", &m.partial),
            ("queries_refused", "Queries refused because of load", &m.refused),
        ] {
            registry.register(name, help, family.clone());
        }
        registry.register("connections", "Open connections", m.connections.clone());
        let help = "Connections closed at once because there were too many";
        registry.register("connections_refused", help, m.connections_refused.clone());
        registry.register(
            "in_flight_bytes",
            "Bytes of requests being received or answered",
            m.in_flight_bytes.clone(),
        );
        Arc::new(metrics)
    }

    /// Counts a call.
    pub(crate) fn called(&self, method: &'static str, code: &'static str, seconds: f64) {
        self.requests.get_or_create(&RequestLabels { method, code }).inc();
        self.request_seconds.get_or_create(&MethodLabels { method }).observe(seconds);
    }

    /// The counts of one index.
    pub(crate) fn index(&self, name: &str) -> IndexMetrics {
        let labels = IndexLabels { index: name.to_owned() };
        let counter = |family: &Family<IndexLabels, Counter>| family.get_or_create_owned(&labels);
        let stage =
            |stage| self.stage_seconds.get_or_create_owned(&StageLabels { index: name.to_owned(), stage });
        IndexMetrics {
            queue_seconds: stage(Stage::Queue),
            search_seconds: stage(Stage::Search),
            queries: counter(&self.queries),
            lists: counter(&self.lists),
            reads: counter(&self.reads),
            pages: counter(&self.pages),
            read_bytes: counter(&self.read_bytes),
            codes: counter(&self.codes),
            reranked: counter(&self.reranked),
            degraded: counter(&self.degraded),
            partial: counter(&self.partial),
            refused: counter(&self.refused),
        }
    }
}

/// The counts of one index.
#[derive(Debug)]
pub(crate) struct IndexMetrics {
    queue_seconds: Histogram,
    search_seconds: Histogram,
    pub(crate) queries: Counter,
    lists: Counter,
    reads: Counter,
    pages: Counter,
    read_bytes: Counter,
    codes: Counter,
    reranked: Counter,
    pub(crate) degraded: Counter,
    partial: Counter<u64, AtomicU64>,
    pub(crate) refused: Counter,
}

impl IndexMetrics {
    /// Counts answers that took so long from the arrival of their request.
    pub(crate) fn answered(&self, answers: &[Answer], total_us: f64) {
        let sum = |of: fn(&Answer) -> u64| answers.iter().map(of).sum::<u64>();
        self.queries.inc_by(answers.len() as u64);
        self.lists.inc_by(sum(|a| a.work.lists.into()));
        self.reads.inc_by(sum(|a| a.work.reads.into()));
        self.pages.inc_by(sum(|a| a.work.pages.into()));
        self.read_bytes.inc_by(sum(|a| a.work.read_bytes));
        self.codes.inc_by(sum(|a| a.work.vectors_scanned));
        self.reranked.inc_by(sum(|a| a.work.reranked.into()));
        self.partial.inc_by(sum(|a| u64::from(a.damaged > 0)));
        for answer in answers {
            let search_us = f64::from(answer.latency_us);
            self.search_seconds.observe(search_us / 1e6);
            self.queue_seconds.observe((total_us - search_us).max(0.0) / 1e6);
        }
    }
}
