//! Every setting of a server, declared once.
use std::path::PathBuf;

use clap::Args;
use spandrel_engine::paging::CachePolicy;
use spandrel_engine::{Distances, EngineConfig};
use spandrel_index::Tier;
use spandrel_io::{BackendChoice, Direct};
use spandrel_service::{AdmissionConfig, Limits};

use super::values::{Address, Metrics, Switch, size, switched, whole};
use crate::values::{ByteSize, OutputFormat as LogFormat, parse_recall, parse_share};

/// Longest time that can be set, in seconds.
const SECONDS_MAX: u64 = u32::MAX as u64; // CAST: widening

/// Every setting but the indexes. In a file the names are the same, with `_` for `-`.
#[derive(Debug, Clone, Args)]
pub struct Settings {
    /// Where gRPC is served, an address or the name of a host, and a port.
    #[arg(long, value_name = "ADDR", default_value_t = Address::local(7700))]
    pub listen: Address,
    /// Where metrics are served over HTTP, or off.
    #[arg(long, value_name = "ADDR|off", default_value_t = Metrics::At(Address::local(7701)))]
    pub metrics: Metrics,
    /// Where codes are: memory or ssd [default: what each index was built for].
    #[arg(long, value_name = "memory|ssd")]
    pub codes: Option<Tier>,
    /// Where the vectors that are compared exactly are: ssd or memory [default: ssd].
    #[arg(long, value_name = "ssd|memory")]
    pub vectors: Option<Tier>,
    /// Which distances clients may ask for: exact, or any, which keeps ids in memory.
    #[arg(long, value_name = "exact|any", default_value_t = Distances::Exact)]
    pub distances: Distances,
    /// Memory for a cache of pages of vectors, of each index [default: none].
    #[arg(long, value_name = "SIZE")]
    pub cache: Option<ByteSize>,
    /// Which page leaves a full cache: with clock one that was not used lately, with predicted one that is not expected to be
    /// used again soon.
    #[arg(long, value_name = "clock|predicted", default_value_t)]
    pub cache_policy: CachePolicy,
    /// Search threads, which all indexes share [default: one for each processor].
    #[arg(long, value_name = "N", value_parser = whole::<usize>(1..=1024))]
    pub threads: Option<usize>,
    /// Queries that each search thread works on at the same time.
    #[arg(long, value_name = "N", default_value_t = EngineConfig::default().in_flight, value_parser = whole::<usize>(1..=1024))]
    pub in_flight: usize,
    /// How reads are done.
    #[arg(long, value_name = "auto|uring|pread", default_value_t = BackendChoice::Auto)]
    pub io: BackendChoice,
    /// Whether reads bypass the page cache.
    #[arg(long, value_name = "auto|on|off", default_value_t = Direct::Auto, value_parser = switched::<Direct>)]
    pub direct: Direct,
    /// A folder that clients may have indexes opened from; several are allowed [default: none].
    #[arg(long, value_name = "DIR")]
    pub root: Vec<PathBuf>,
    /// Name of the index for requests that name none [default: the only index; with several, none].
    #[arg(long, value_name = "NAME")]
    pub default_index: Option<String>,
    /// File of permissions: a line `search TOKEN [NAME]` or `admin TOKEN [NAME]` for each API token, where the audit log
    /// calls it by NAME; `search certificate NAME` or `admin certificate NAME` for clients whose certificate holds this DNS
    /// name, URI or common name, `*` for any. Read again when it changes [default: clients with a certificate may search; where
    /// none is asked for everybody may do everything].
    #[arg(long, value_name = "FILE")]
    pub tokens: Option<PathBuf>,
    /// The server's certificate chain, PEM; read again when it changes.
    #[arg(long, value_name = "FILE")]
    pub tls_certificate: Option<PathBuf>,
    /// Private key of that certificate, PEM.
    #[arg(long, value_name = "FILE")]
    pub tls_key: Option<PathBuf>,
    /// CA certificates for clients, PEM: with it every client needs a certificate. It allows searching; --tokens says who
    /// may do more.
    #[arg(long, value_name = "FILE")]
    pub tls_client_ca: Option<PathBuf>,
    /// Let other machines connect for gRPC without TLS or without a token.
    #[arg(long)]
    pub insecure: bool,
    /// Let other machines reach the port of metrics, which has no TLS.
    #[arg(long)]
    pub metrics_insecure: bool,
    /// Whether the health service answers.
    #[arg(long, value_name = "on|off", value_enum, ignore_case = true, default_value_t = Switch::On, hide_possible_values = true)]
    pub health: Switch,
    /// Whether the reflection services answer.
    #[arg(long, value_name = "on|off", value_enum, ignore_case = true, default_value_t = Switch::On, hide_possible_values = true)]
    pub reflection: Switch,
    /// Graceful drain: seconds between turning health to NOT_SERVING and refusing calls, for load balancers to notice.
    #[arg(long, value_name = "S", default_value_t = 0, value_parser = whole::<u64>(0..=SECONDS_MAX))]
    pub drain_seconds: u64,
    /// Seconds after the drain that calls under way have to finish.
    #[arg(long, value_name = "S", default_value_t = 30, value_parser = whole::<u64>(0..=SECONDS_MAX))]
    pub grace_seconds: u64,
    /// Queries whose expected time in the queue is longer are refused, in milliseconds.
    #[arg(long, value_name = "MS", help_heading = "Under load", default_value_t = queue_delay_ms(), value_parser = whole::<u64>(1..=60_000))]
    pub queue_delay_ms: u64,
    /// Before that, spend less on each query, down to this share of its work, and say so in answers; 1 is all.
    #[arg(long, value_name = "SHARE", help_heading = "Under load", default_value_t = AdmissionConfig::default().degrade_effort_min, value_parser = parse_recall::<f32>)]
    pub degrade_effort_min: f32,
    /// Share of search threads' time at most that is spent comparing a sample of queries with every vector, to measure recall;
    /// 0 turns it off.
    #[arg(long, value_name = "SHARE", default_value_t = 0.01, value_parser = parse_share)]
    pub measure_recall: f32,
    /// Let queries that ask for a recall aim higher, where what they find is measured to be under it.
    #[arg(long)]
    pub recall_correct: bool,
    /// Largest message.
    #[arg(long, value_name = "SIZE", help_heading = "Limits", default_value_t = bytes(Limits::default().message_bytes), value_parser = size(1 << 10..=1 << 30))]
    pub max_message: ByteSize,
    /// Bytes held by all calls together, requests and answers; a quarter of them by one connection, and no less than four times --max-message.
    #[arg(long, value_name = "SIZE", help_heading = "Limits", default_value_t = bytes(Limits::default().in_flight_bytes), value_parser = size(1 << 20..=1 << 40))]
    pub max_in_flight: ByteSize,
    /// Neighbours of one query.
    #[arg(long, value_name = "N", help_heading = "Limits", default_value_t = Limits::default().k_max, value_parser = whole::<u32>(1..=u32::MAX.into()))]
    pub max_k: u32,
    /// Lists that one query may ask for, of those there are.
    #[arg(long, value_name = "N", help_heading = "Limits", default_value_t = Limits::default().lists_max, value_parser = whole::<u32>(1..=u32::MAX.into()))]
    pub max_lists: u32,
    /// Vectors that one query may ask to be compared exactly, of those there are.
    #[arg(long, value_name = "N", help_heading = "Limits", default_value_t = Limits::default().rerank_max, value_parser = whole::<u32>(1..=u32::MAX.into()))]
    pub max_rerank: u32,
    /// Documents that one query may ask to be compared by MaxSim, of those there are.
    #[arg(long, value_name = "N", help_heading = "Limits", default_value_t = Limits::default().documents_max, value_parser = whole::<u32>(1..=u32::MAX.into()))]
    pub max_documents: u32,
    /// Vectors of one query document.
    #[arg(long, value_name = "N", help_heading = "Limits", default_value_t = Limits::default().document_vectors_max, value_parser = whole::<u32>(1..=u32::MAX.into()))]
    pub max_document_vectors: u32,
    /// Vectors that one search within a radius may ask for as the best of all.
    #[arg(long, value_name = "N", help_heading = "Limits", default_value_t = Limits::default().range_results_max, value_parser = whole::<u32>(1..=u32::MAX.into()))]
    pub max_range_results: u32,
    /// Memory of the filters of an index, while they are compiled, in use or kept.
    #[arg(long, value_name = "SIZE", help_heading = "Limits", default_value_t = bytes(Limits::default().filter_bytes), value_parser = size(1 << 20..=1 << 40))]
    pub max_filters: ByteSize,
    /// Queries of one batch and ids of one fetch.
    #[arg(long, value_name = "N", help_heading = "Limits", default_value_t = Limits::default().batch_max, value_parser = whole::<u32>(1..=u32::MAX.into()))]
    pub max_batch: u32,
    /// Queries of one stream under way at once.
    #[arg(long, value_name = "N", help_heading = "Limits", default_value_t = Limits::default().stream_window, value_parser = whole::<usize>(1..=u16::MAX.into()))]
    pub stream_window: usize,
    /// Calls under way at once on one connection.
    #[arg(long, value_name = "N", help_heading = "Limits", default_value_t = Limits::default().streams_max, value_parser = whole::<u32>(1..=u32::MAX.into()))]
    pub max_streams: u32,
    /// Connections at once.
    #[arg(long, value_name = "N", help_heading = "Limits", default_value_t = Limits::default().connections_max, value_parser = whole::<usize>(1..=u32::MAX.into()))]
    pub max_connections: usize,
    /// Headers of one call.
    #[arg(long, value_name = "SIZE", help_heading = "Limits", default_value_t = bytes(Limits::default().header_bytes), value_parser = size(1 << 10..=1 << 20))]
    pub max_headers: ByteSize,
    /// Time for a TLS handshake, in seconds.
    #[arg(long, value_name = "S", help_heading = "Limits", default_value_t = Limits::default().handshake_max.as_secs(), value_parser = whole::<u64>(1..=SECONDS_MAX))]
    pub handshake_seconds: u64,
    /// Seconds from a connection's beginning to its first call, after which one without is ended.
    #[arg(long, value_name = "S", help_heading = "Limits", default_value_t = Limits::default().first_call_max.as_secs(), value_parser = whole::<u64>(1..=SECONDS_MAX))]
    pub first_call_seconds: u64,
    /// Seconds without a call after which a connection is ended; health calls do not count.
    #[arg(long, value_name = "S", help_heading = "Limits", default_value_t = Limits::default().idle_max.as_secs(), value_parser = whole::<u64>(1..=SECONDS_MAX))]
    pub idle_seconds: u64,
    /// Seconds after which a connection is ended; calls under way have --request-seconds left.
    #[arg(long, value_name = "S", help_heading = "Limits", default_value_t = Limits::default().age_max.as_secs(), value_parser = whole::<u64>(1..=SECONDS_MAX))]
    pub age_seconds: u64,
    /// Longest time of one call from its headers, also where its deadline is later, in seconds; streams go on. A connection that
    /// leaves an answer unread for that time is ended.
    #[arg(long, value_name = "S", help_heading = "Limits", default_value_t = Limits::default().request_max.as_secs(), value_parser = whole::<u64>(1..=SECONDS_MAX))]
    pub request_seconds: u64,
    /// Send traces of calls to an OpenTelemetry collector, as in http://127.0.0.1:4317; needs a program built with
    /// --features otel [default: none].
    #[arg(long, value_name = "URL")]
    pub otlp: Option<String>,
    /// Form of the log on standard error: text or json. SPANDREL_LOG sets what is logged, as in
    /// SPANDREL_LOG=debug.
    #[arg(long, value_name = "text|json", value_enum, default_value_t = LogFormat::Text, hide_possible_values = true)]
    pub log_format: LogFormat,
}

fn bytes(size: impl TryInto<u64>) -> ByteSize {
    ByteSize(size.try_into().unwrap_or(u64::MAX))
}

fn queue_delay_ms() -> u64 {
    AdmissionConfig::default().queue_delay_max.as_millis() as u64 // CAST: a fraction of a second
}
