//! What the server counts, for Prometheus. Handles are made once; counting is an atomic addition.
use std::fmt;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};
use spandrel_engine::{Answer, FilterPlan, Filtered, StageTimes};
use tonic::Code;

use crate::histogram::Histogram;
use crate::method::Method;

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

/// Where the time of a query in its search thread goes.
pub(crate) const STAGES: [&str; 6] = ["probe", "scan", "plan", "wait", "verify", "rerank"];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StageLabels {
    index: String,
    stage: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PlanLabels {
    index: String,
    plan: &'static str,
}

/// Codes of gRPC.
const CODES: usize = 17;

/// The counts of a method, each made when it is first needed.
#[derive(Debug, Default)]
struct OfMethod {
    seconds: OnceLock<Histogram>,
    /// Calls that have ended, by code.
    ended: [OnceLock<Counter>; CODES],
}

type Counts = Family<IndexLabels, Counter>;
type Seconds = Counter<f64, AtomicU64>;

/// Every count that does not follow from looking at the indexes.
pub(crate) struct Metrics {
    requests: Family<RequestLabels, Counter>,
    request_seconds: Family<MethodLabels, Histogram>,
    /// Of these two, by method.
    of_methods: [OfMethod; Method::ALL.len()],
    queue_seconds: Family<IndexLabels, Histogram>,
    search_seconds: Family<IndexLabels, Histogram>,
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
    limited: Counts,
    refused: Counts,
    filtered: Family<PlanLabels, Counter>,
    widened: Counts,
    matches: Counts,
    compiled: Counts,
    kept: Counts,
    measuring_seconds: Family<IndexLabels, Seconds>,
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
            of_methods: Default::default(),
            queue_seconds: Family::default(),
            search_seconds: Family::default(),
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
            limited: Family::default(),
            refused: Family::default(),
            filtered: Family::default(),
            widened: Family::default(),
            matches: Family::default(),
            compiled: Family::default(),
            kept: Family::default(),
            measuring_seconds: Family::default(),
            connections: Gauge::default(),
            connections_refused: Counter::default(),
            in_flight_bytes: Gauge::default(),
        };
        let m = &metrics;
        registry.register("requests", "Calls that have ended, by method and the gRPC status that they ended with; CANCELLED where the client gave up", m.requests.clone());
        let help = "Time from a call's headers to its answer, to the first answer of a stream, or to an end without one";
        registry.register_with_unit("request_duration", help, Unit::Seconds, m.request_seconds.clone());
        let help = "Time from the arrival of a request to the moment a search thread took this query of it";
        registry.register_with_unit("query_queue_duration", help, Unit::Seconds, m.queue_seconds.clone());
        let help = "Time from that moment to the query's answer";
        registry.register_with_unit("query_search_duration", help, Unit::Seconds, m.search_seconds.clone());
        let help = "Time of a query in each stage of its search; together its time in search";
        registry.register_with_unit("query_stage_duration", help, Unit::Seconds, m.stage_seconds.clone());
        for (name, help, family) in m.of_indexes() {
            registry.register(name, help, family.clone());
        }
        let help =
            "Time of search threads in which queries were compared with every vector, to measure recall";
        registry.register_with_unit("recall_measuring", help, Unit::Seconds, m.measuring_seconds.clone());
        let help = "Queries answered that had a filter, by how the vectors that match were searched";
        registry.register("queries_filtered", help, m.filtered.clone());
        let started: Gauge<f64, AtomicU64> = Gauge::default();
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
            "Bytes of requests and answers that the server holds: being received, searched, or waiting to be read by their clients",
            m.in_flight_bytes.clone(),
        );
        Arc::new(metrics)
    }

    /// Counts the time from a call's headers to its answer, or to its end.
    pub(crate) fn answered_in(&self, method: Method, seconds: f64) {
        let of_method = &self.of_methods[method as usize]; // CAST: its place among all
        let labels = || MethodLabels { method: method.name() };
        let histogram = of_method.seconds.get_or_init(|| self.request_seconds.get_or_create_owned(&labels()));
        histogram.observe(seconds);
    }

    /// Counts a call that has ended.
    pub(crate) fn ended(&self, method: Method, code: Code) {
        let counter = &self.of_methods[method as usize].ended[code as usize]; // CAST: places among all
        let labels = || RequestLabels { method: method.name(), code: code_name(code) };
        counter.get_or_init(|| self.requests.get_or_create_owned(&labels())).inc();
    }

    /// Calls that have ended so far, by method and code.
    pub(crate) fn calls(&self) -> Vec<(RequestLabels, u64)> {
        let labels = Method::ALL.into_iter().flat_map(|method| {
            (0..CODES as i32) // CAST: a few
                .map(move |code| RequestLabels { method: method.name(), code: code_name(Code::from(code)) })
        });
        let counted = labels.filter_map(|labels| {
            let count = self.requests.get(&labels)?.get();
            Some((labels, count))
        });
        counted.collect()
    }

    /// Counts that every index has: their names, what they count, and the counts.
    fn of_indexes(&self) -> [(&'static str, &'static str, &Counts); 16] {
        let m = self;
        [
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
            ("queries_limited", "Answers that a limit on lists, bytes or results cut short", &m.limited),
            (
                "queries_refused",
                "Queries refused because the queue was too long; those whose deadline had passed are not among them",
                &m.refused,
            ),
            (
                "queries_widened",
                "Queries with a filter whose nearest lists held few matches, so that more were searched",
                &m.widened,
            ),
            ("filter_matches", "Vectors that the filters of these queries match", &m.matches),
            ("filters_compiled", "Requests whose filter was compiled", &m.compiled),
            ("filters_kept", "Requests whose filter was there already", &m.kept),
        ]
    }

    /// Forgets an index that is served no more.
    pub(crate) fn forget(&self, name: &str) {
        let m = self;
        let labels = IndexLabels { index: name.to_owned() };
        m.queue_seconds.remove(&labels);
        m.search_seconds.remove(&labels);
        m.measuring_seconds.remove(&labels);
        for stage in STAGES {
            m.stage_seconds.remove(&StageLabels { index: name.to_owned(), stage });
        }
        for plan in FilterPlan::ALL.map(FilterPlan::name) {
            m.filtered.remove(&PlanLabels { index: name.to_owned(), plan });
        }
        for (.., family) in m.of_indexes() {
            family.remove(&labels);
        }
    }

    /// The counts of one index.
    pub(crate) fn index(&self, name: &str) -> IndexMetrics {
        let labels = IndexLabels { index: name.to_owned() };
        let counter = |family: &Family<IndexLabels, Counter>| family.get_or_create_owned(&labels);
        IndexMetrics {
            queue: self.queue_seconds.get_or_create_owned(&labels),
            search: self.search_seconds.get_or_create_owned(&labels),
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
            limited: counter(&self.limited),
            refused: counter(&self.refused),
            filtered: FilterPlan::ALL.map(|plan| {
                let labels = PlanLabels { index: name.to_owned(), plan: plan.name() };
                self.filtered.get_or_create_owned(&labels)
            }),
            widened: counter(&self.widened),
            matches: counter(&self.matches),
            filters_compiled: counter(&self.compiled),
            filters_kept: counter(&self.kept),
            measuring_seconds: self.measuring_seconds.get_or_create_owned(&labels),
        }
    }
}

/// The counts of one index.
#[derive(Debug)]
pub(crate) struct IndexMetrics {
    pub(crate) queue: Histogram,
    pub(crate) search: Histogram,
    /// As [`STAGES`] names them.
    pub(crate) stages: [Histogram; 6],
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
    limited: Counter,
    pub(crate) refused: Counter,
    /// By plan.
    filtered: [Counter; 4],
    widened: Counter,
    matches: Counter,
    pub(crate) filters_compiled: Counter,
    pub(crate) filters_kept: Counter,
    pub(crate) measuring_seconds: Seconds,
}

impl IndexMetrics {
    /// Counts answers to a request that came at `arrival`.
    pub(crate) fn answered(&self, answers: &[Answer], arrival: Instant) {
        let sum = |of: fn(&Answer) -> u64| answers.iter().map(of).sum::<u64>();
        self.queries.inc_by(answers.len() as u64); // CAST: widening
        for Filtered { matches, plan, widened } in answers.iter().filter_map(|answer| answer.filtered) {
            let at = FilterPlan::ALL.into_iter().position(|of| of == plan);
            at.and_then(|at| self.filtered.get(at)).map(Counter::inc);
            self.matches.inc_by(matches);
            self.widened.inc_by(widened.into());
        }
        self.lists.inc_by(sum(|a| a.work.lists.into()));
        self.reads.inc_by(sum(|a| a.work.reads.into()));
        self.pages.inc_by(sum(|a| a.work.pages.into()));
        self.cache_hits.inc_by(sum(|a| a.work.cache_hits.into()));
        self.read_bytes.inc_by(sum(|a| a.work.read_bytes));
        self.codes.inc_by(sum(|a| a.work.vectors_scanned));
        self.reranked.inc_by(sum(|a| a.work.reranked.into()));
        self.partial.inc_by(sum(|a| u64::from(a.missing.parts() > 0)));
        self.limited.inc_by(sum(|a| u64::from(a.limited_by.is_some())));
        for answer in answers {
            let parts = answer.stages.map_or([None; 6], |times| {
                let StageTimes { probe_us, scan_us, plan_us, wait_us, verify_us, rerank_us } = times;
                [probe_us, scan_us, plan_us, wait_us, verify_us, rerank_us].map(Some)
            });
            self.queue.observe(f64::from(queue_us(answer, arrival)) / 1e6);
            self.search.observe(f64::from(answer.latency_us) / 1e6);
            for (stage, us) in self.stages.iter().zip(parts) {
                us.into_iter().for_each(|us| stage.observe(f64::from(us) / 1e6));
            }
        }
    }

    /// Every count so far, by name.
    pub(crate) fn totals(&self) -> [(&'static str, u64); 16] {
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
            ("limited", &self.limited),
            ("refused", &self.refused),
            ("widened", &self.widened),
            ("matches", &self.matches),
            ("filters_compiled", &self.filters_compiled),
            ("filters_kept", &self.filters_kept),
        ]
        .map(|(name, counter)| (name, counter.get()))
    }
}

/// Microseconds from the arrival of a request to the moment a search thread took this query of it.
pub(crate) fn queue_us(answer: &Answer, arrival: Instant) -> f32 {
    let waited = answer.taken.map_or(Duration::ZERO, |taken| taken.saturating_duration_since(arrival));
    waited.as_secs_f32() * 1e6
}

/// A code's name as gRPC writes it.
pub(crate) fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}
