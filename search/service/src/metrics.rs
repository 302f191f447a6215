//! What the server counts, for Prometheus. Handles are made once; counting is an atomic addition.
use std::fmt;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};
use spandrel_engine::{Answer, StageTimes};
use tonic::Code;

use crate::guard::{METHODS, code_name};
use crate::histogram::Histogram;

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

/// Where the time of a query goes: until a search thread takes it, from then to its answer, and the parts of that.
pub(crate) const STAGES: [&str; 8] = ["queue", "search", "probe", "scan", "plan", "wait", "verify", "rerank"];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StageLabels {
    index: String,
    stage: &'static str,
}

type Counts = Family<IndexLabels, Counter>;

/// Every count that does not follow from looking at the indexes.
pub(crate) struct Metrics {
    requests: Family<RequestLabels, Counter>,
    request_seconds: Family<MethodLabels, Histogram>,
    stage_seconds: Family<StageLabels, Histogram>,
    queries: Counts,
    lists: Counts,
    reads: Counts,
    pages: Counts,
    cache_hits: Counts,
    read_bytes: Counts,
    codes: Counts,
    reranked: Counts,
    degraded: Counts,
    partial: Counts,
    refused: Counts,
    pub(crate) connections: Gauge,
    pub(crate) connections_refused: Counter,
    pub(crate) in_flight_bytes: Gauge,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}

impl Metrics {
    /// Makes the counts and enters them into `registry`.
    pub(crate) fn new(registry: &mut Registry) -> Arc<Metrics> {
        let metrics = Metrics {
            requests: Family::default(),
            request_seconds: Family::default(),
            stage_seconds: Family::default(),
            queries: Family::default(),
            lists: Family::default(),
            reads: Family::default(),
            pages: Family::default(),
            cache_hits: Family::default(),
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
        registry.register_with_unit("request_duration", help, Unit::Seconds, m.request_seconds.clone());
        let help = "Time of a query in the queue, from a search thread's taking it to its answer, and in the parts of that";
        registry.register_with_unit("query_stage_duration", help, Unit::Seconds, m.stage_seconds.clone());
        for (name, help, family) in [
            ("queries", "Queries answered", &m.queries),
            ("query_lists", "Lists searched", &m.lists),
            ("query_reads", "Requests to the disk", &m.reads),
            ("query_pages", "4 KiB pages that requests to the disk touched", &m.pages),
            ("query_cache_hits", "Pages found in the cache, for which nothing was read", &m.cache_hits),
            ("query_read_bytes", "Bytes requested from the disk", &m.read_bytes),
            ("query_codes", "Vectors compared or estimated from their codes", &m.codes),
            ("query_reranked", "Vectors compared exactly after their codes were scanned", &m.reranked),
            ("queries_degraded", "Queries searched less thoroughly because of load", &m.degraded),
            ("queries_partial", "Answers that miss damaged parts", &m.partial),
            ("queries_refused", "Queries refused because of load", &m.refused),
        ] {
            registry.register(name, help, family.clone());
        }
        let started: Gauge<f64, std::sync::atomic::AtomicU64> = Gauge::default();
        started.set(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64());
        let version = ("version".into(), env!("CARGO_PKG_VERSION").into());
        registry.sub_registry_with_label(version).register(
            "start_time_seconds",
            "When the server started, in seconds since 1970, and its version",
            started,
        );
        registry.register("connections", "Open connections", m.connections.clone());
        let help = "Connections closed at once because there were too many";
        registry.register("connections_refused", help, m.connections_refused.clone());
        registry.register(
            "requests_in_flight_bytes",
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

    /// Calls so far, by method and code.
    pub(crate) fn calls(&self) -> Vec<(RequestLabels, u64)> {
        let methods = METHODS.iter().map(|&(_, method, _)| method);
        let labels =
            methods.flat_map(|method| (0..=16).map(move |code| (method, code_name(Code::from(code)))));
        let counted = labels.filter_map(|(method, code)| {
            let labels = RequestLabels { method, code };
            let count = self.requests.get(&labels)?.get();
            Some((labels, count))
        });
        counted.collect()
    }

    /// The counts of one index.
    pub(crate) fn index(&self, name: &str) -> IndexMetrics {
        let labels = IndexLabels { index: name.to_owned() };
        let counter = |family: &Family<IndexLabels, Counter>| family.get_or_create_owned(&labels);
        IndexMetrics {
            stages: STAGES.map(|stage| {
                self.stage_seconds.get_or_create_owned(&StageLabels { index: name.to_owned(), stage })
            }),
            queries: counter(&self.queries),
            lists: counter(&self.lists),
            reads: counter(&self.reads),
            pages: counter(&self.pages),
            cache_hits: counter(&self.cache_hits),
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
    /// As [`STAGES`] names them.
    pub(crate) stages: [Histogram; 8],
    pub(crate) queries: Counter,
    lists: Counter,
    reads: Counter,
    pages: Counter,
    cache_hits: Counter,
    read_bytes: Counter,
    codes: Counter,
    reranked: Counter,
    pub(crate) degraded: Counter,
    partial: Counter,
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
        self.cache_hits.inc_by(sum(|a| a.work.cache_hits.into()));
        self.read_bytes.inc_by(sum(|a| a.work.read_bytes));
        self.codes.inc_by(sum(|a| a.work.vectors_scanned));
        self.reranked.inc_by(sum(|a| a.work.reranked.into()));
        self.partial.inc_by(sum(|a| u64::from(a.damaged > 0)));
        for answer in answers {
            let search_us = answer.latency_us;
            let queue_us = (total_us - f64::from(search_us)).max(0.0);
            let parts = answer.stages.map_or([None; 6], |times| {
                let StageTimes { probe_us, scan_us, plan_us, wait_us, verify_us, rerank_us } = times;
                [probe_us, scan_us, plan_us, wait_us, verify_us, rerank_us].map(Some)
            });
            let [queue, search, part_stages @ ..] = &self.stages;
            queue.observe(queue_us / 1e6);
            search.observe(f64::from(search_us) / 1e6);
            for (stage, us) in part_stages.iter().zip(parts) {
                us.into_iter().for_each(|us| stage.observe(f64::from(us) / 1e6));
            }
        }
    }

    /// Every count so far, by name.
    pub(crate) fn totals(&self) -> [(&'static str, u64); 11] {
        [
            ("queries", &self.queries),
            ("lists", &self.lists),
            ("reads", &self.reads),
            ("pages", &self.pages),
            ("cache_hits", &self.cache_hits),
            ("read_bytes", &self.read_bytes),
            ("codes", &self.codes),
            ("reranked", &self.reranked),
            ("degraded", &self.degraded),
            ("partial", &self.partial),
            ("refused", &self.refused),
        ]
        .map(|(name, counter)| (name, counter.get()))
    }
}
