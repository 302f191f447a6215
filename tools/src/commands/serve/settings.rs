//! How a server is set: by flags, by the environment, by a file, in this order.
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use clap::Args;
use serde::{Deserialize, Deserializer};
use spandrel_engine::{Distances, EngineConfig};
use spandrel_index::{OpenOptions, Tier};
use spandrel_io::{BackendChoice, Direct};
use spandrel_service::{AdmissionConfig, IndexConfig, Limits, ServerConfig, TlsConfig};

use crate::values::ByteSize;
use crate::{Advised, UsageError};

/// Every setting but the indexes. In a file the names are the same, with `_` for `-`.
#[derive(Debug, Clone, Default, Args, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Where gRPC is served, an address or the name of a host, and a port [default: 127.0.0.1:7700].
    #[arg(long, value_name = "ADDR", env = "SPANDREL_LISTEN")]
    #[serde(deserialize_with = "parsed")]
    pub listen: Option<Address>,
    /// Where metrics are served over HTTP, or off [default: 127.0.0.1:7701].
    #[arg(long, value_name = "ADDR|off", env = "SPANDREL_METRICS")]
    #[serde(deserialize_with = "parsed")]
    pub metrics: Option<Metrics>,
    /// Where codes are: memory or ssd [default: what each index was built for].
    #[arg(long, value_name = "memory|ssd", env = "SPANDREL_CODES")]
    #[serde(deserialize_with = "parsed")]
    pub codes: Option<Tier>,
    /// Where the vectors that are compared exactly are: ssd or memory [default: ssd].
    #[arg(long, value_name = "ssd|memory", env = "SPANDREL_VECTORS")]
    #[serde(deserialize_with = "parsed")]
    pub vectors: Option<Tier>,
    /// Which distances clients may ask for: exact, or any, which keeps ids in memory [default: exact].
    #[arg(long, value_name = "exact|any", env = "SPANDREL_DISTANCES")]
    #[serde(deserialize_with = "parsed")]
    pub distances: Option<Distances>,
    /// Memory for pages of vectors that were read, of each index [default: none].
    #[arg(long, value_name = "SIZE", env = "SPANDREL_CACHE")]
    #[serde(deserialize_with = "parsed")]
    pub cache: Option<ByteSize>,
    /// Search threads of each index [default: one for each processor].
    #[arg(long, value_name = "N", env = "SPANDREL_THREADS", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
    /// Queries that each search thread works on at the same time [default: 4].
    #[arg(long, value_name = "N", env = "SPANDREL_IN_FLIGHT", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub in_flight: Option<u16>,
    /// What carries out reads [default: auto].
    #[arg(long, value_name = "auto|uring|pread", env = "SPANDREL_IO")]
    #[serde(deserialize_with = "parsed")]
    pub io: Option<BackendChoice>,
    /// Whether reads pass the page cache by [default: auto].
    #[arg(long, value_name = "auto|on|off", env = "SPANDREL_DIRECT")]
    #[serde(deserialize_with = "parsed")]
    pub direct: Option<Direct>,
    /// A folder that clients may have indexes opened from; several are allowed [default: none].
    #[arg(long, value_name = "DIR", env = "SPANDREL_ROOT")]
    pub root: Vec<PathBuf>,
    /// Name of the index for requests that name none [default: the only index; with several, none].
    #[arg(long, value_name = "NAME", env = "SPANDREL_DEFAULT_INDEX")]
    pub default_index: Option<String>,
    /// File of who may do what: a line `search TOKEN [NAME]` or `admin TOKEN [NAME]` for each API token, where the audit log
    /// calls it by NAME; `search certificate NAME` or `admin certificate NAME` for clients whose certificate holds this DNS
    /// name, URI or common name, `*` for any. Read again when it changes [default: clients with a certificate may search; where
    /// none is asked for everybody may do everything].
    #[arg(long, value_name = "FILE", env = "SPANDREL_TOKENS")]
    pub tokens: Option<PathBuf>,
    /// The server's certificate chain, PEM; read again when it changes.
    #[arg(long, value_name = "FILE", env = "SPANDREL_TLS_CERTIFICATE")]
    pub tls_certificate: Option<PathBuf>,
    /// Its private key, PEM.
    #[arg(long, value_name = "FILE", env = "SPANDREL_TLS_KEY")]
    pub tls_key: Option<PathBuf>,
    /// Who signs the certificates of clients, PEM: with it every client needs one. Alone it lets clients search; --tokens
    /// says who may do more.
    #[arg(long, value_name = "FILE", env = "SPANDREL_TLS_CLIENT_CA")]
    pub tls_client_ca: Option<PathBuf>,
    /// Let other machines connect for gRPC without TLS or without a token.
    #[arg(long, env = "SPANDREL_INSECURE")]
    pub insecure: bool,
    /// Let other machines reach the port of metrics, which has no TLS.
    #[arg(long, env = "SPANDREL_METRICS_INSECURE")]
    pub metrics_insecure: bool,
    /// Whether the health service answers [default: on].
    #[arg(long, value_name = "on|off", env = "SPANDREL_HEALTH")]
    #[serde(deserialize_with = "parsed")]
    pub health: Option<Switch>,
    /// Whether the reflection services answer [default: on].
    #[arg(long, value_name = "on|off", env = "SPANDREL_REFLECTION")]
    #[serde(deserialize_with = "parsed")]
    pub reflection: Option<Switch>,
    /// Time between turning the health to NOT_SERVING and refusing calls when the server is told to stop, in seconds, for load
    /// balancers to notice [default: 0].
    #[arg(long, value_name = "S", env = "SPANDREL_DRAIN_SECONDS")]
    pub drain_seconds: Option<u32>,
    /// Longest time after that for calls under way when the server is told to stop, in seconds [default: 30].
    #[arg(long, value_name = "S", env = "SPANDREL_GRACE_SECONDS")]
    pub grace_seconds: Option<u32>,
    /// Queries whose expected time in the queue is longer are refused, in milliseconds [default: 50].
    #[arg(long, value_name = "MS", env = "SPANDREL_QUEUE_DELAY_MS", value_parser = clap::value_parser!(u32).range(1..=60_000),
          help_heading = "Under load")]
    pub queue_delay_ms: Option<u32>,
    /// Before that, search fewer lists, down to this share of them, and say so in answers [default: 1, all].
    #[arg(long, value_name = "SHARE", env = "SPANDREL_DEGRADE_EFFORT_MIN", help_heading = "Under load")]
    pub degrade_effort_min: Option<f32>,
    /// Largest message [default: 16MiB].
    #[arg(long, value_name = "SIZE", env = "SPANDREL_MAX_MESSAGE", help_heading = "Limits")]
    #[serde(deserialize_with = "parsed")]
    pub max_message: Option<ByteSize>,
    /// Bytes held by all calls together, requests and answers; a quarter of them by one connection [default: 256MiB].
    #[arg(long, value_name = "SIZE", env = "SPANDREL_MAX_IN_FLIGHT", help_heading = "Limits")]
    #[serde(deserialize_with = "parsed")]
    pub max_in_flight: Option<ByteSize>,
    /// Neighbours of one query [default: 1000].
    #[arg(long, value_name = "N", env = "SPANDREL_MAX_K", value_parser = clap::value_parser!(u32).range(1..), help_heading = "Limits")]
    pub max_k: Option<u32>,
    /// Lists that one query may ask for, of those there are [default: 4096].
    #[arg(long, value_name = "N", env = "SPANDREL_MAX_LISTS", value_parser = clap::value_parser!(u32).range(1..), help_heading = "Limits")]
    pub max_lists: Option<u32>,
    /// Vectors that one query may ask to be compared exactly, of those there are [default: 10000].
    #[arg(long, value_name = "N", env = "SPANDREL_MAX_RERANK", value_parser = clap::value_parser!(u32).range(1..), help_heading = "Limits")]
    pub max_rerank: Option<u32>,
    /// Queries of one batch and ids of one fetch [default: 1024].
    #[arg(long, value_name = "N", env = "SPANDREL_MAX_BATCH", value_parser = clap::value_parser!(u32).range(1..), help_heading = "Limits")]
    pub max_batch: Option<u32>,
    /// Queries of one stream under way at once [default: 128].
    #[arg(long, value_name = "N", env = "SPANDREL_STREAM_WINDOW", value_parser = clap::value_parser!(u16).range(1..), help_heading = "Limits")]
    pub stream_window: Option<u16>,
    /// Calls under way at once on one connection [default: 256].
    #[arg(long, value_name = "N", env = "SPANDREL_MAX_STREAMS", value_parser = clap::value_parser!(u32).range(1..), help_heading = "Limits")]
    pub max_streams: Option<u32>,
    /// Connections at once [default: 4096].
    #[arg(long, value_name = "N", env = "SPANDREL_MAX_CONNECTIONS", value_parser = clap::value_parser!(u32).range(1..), help_heading = "Limits")]
    pub max_connections: Option<u32>,
    /// Headers of one call [default: 16KiB].
    #[arg(long, value_name = "SIZE", env = "SPANDREL_MAX_HEADERS", help_heading = "Limits")]
    #[serde(deserialize_with = "parsed")]
    pub max_headers: Option<ByteSize>,
    /// Time for a TLS handshake, in seconds [default: 10].
    #[arg(long, value_name = "S", env = "SPANDREL_HANDSHAKE_SECONDS", value_parser = clap::value_parser!(u32).range(1..), help_heading = "Limits")]
    pub handshake_seconds: Option<u32>,
    /// A connection without a call for so long is ended, in seconds; health calls do not count [default: 600].
    #[arg(long, value_name = "S", env = "SPANDREL_IDLE_SECONDS", value_parser = clap::value_parser!(u32).range(1..), help_heading = "Limits")]
    pub idle_seconds: Option<u32>,
    /// A connection is ended after so long, in seconds; calls under way have --request-seconds left [default: 3600].
    #[arg(long, value_name = "S", env = "SPANDREL_AGE_SECONDS", value_parser = clap::value_parser!(u32).range(1..), help_heading = "Limits")]
    pub age_seconds: Option<u32>,
    /// Longest time of one call from its headers, whatever its deadline, in seconds; streams go on. A connection that
    /// leaves an answer unread for so long is ended [default: 60].
    #[arg(long, value_name = "S", env = "SPANDREL_REQUEST_SECONDS", value_parser = clap::value_parser!(u32).range(1..), help_heading = "Limits")]
    pub request_seconds: Option<u32>,
    /// Send traces of calls to an OpenTelemetry collector, as in http://127.0.0.1:4317; needs a program built with
    /// --features otel [default: none].
    #[arg(long, value_name = "URL", env = "SPANDREL_OTLP")]
    pub otlp: Option<String>,
    /// Form of the log on standard error: text or json [default: text]. SPANDREL_LOG sets what is logged, as in
    /// SPANDREL_LOG=debug.
    #[arg(long, value_name = "text|json", env = "SPANDREL_LOG_FORMAT")]
    #[serde(deserialize_with = "parsed")]
    pub log_format: Option<LogFormat>,
}

/// A file of settings.
#[derive(Debug, Default, Deserialize)]
pub(super) struct SettingsFile {
    /// Indexes to be served.
    #[serde(default)]
    pub(super) index: Vec<IndexEntry>,
    /// Everything else.
    #[serde(default)]
    pub(super) server: Settings,
    /// What is neither.
    #[serde(flatten)]
    unknown: toml::Table,
}

/// An index in a file of settings.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IndexEntry {
    name: String,
    path: PathBuf,
    #[serde(default, deserialize_with = "parsed")]
    codes: Option<Tier>,
    #[serde(default, deserialize_with = "parsed")]
    vectors: Option<Tier>,
    #[serde(default, deserialize_with = "parsed")]
    distances: Option<Distances>,
}

/// An index on the command line: `NAME=DIR`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedDir {
    /// Name to serve it under.
    pub name: String,
    /// Its folder.
    pub dir: PathBuf,
}

impl FromStr for NamedDir {
    type Err = String;

    fn from_str(text: &str) -> Result<NamedDir, String> {
        match text.split_once('=') {
            Some((name, dir)) if !name.is_empty() && !dir.is_empty() => {
                Ok(NamedDir { name: name.to_owned(), dir: PathBuf::from(dir) })
            }
            _ => Err("expected NAME=DIR, such as sift=/data/sift-index".to_owned()),
        }
    }
}

/// Declares a type of a few words.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal),+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name {
            $($(#[$variant_doc])* $variant),+
        }

        impl FromStr for $name {
            type Err = String;

            fn from_str(text: &str) -> Result<$name, String> {
                match text {
                    $($word => Ok($name::$variant),)+
                    _ => Err(format!("expected {}", [$($word),+].join(" or "))),
                }
            }
        }
    };
}

words!(
    /// Whether something is there.
    Switch {
        /// It is.
        On = "on",
        /// It is not.
        Off = "off"
    }
);
words!(
    /// What log lines look like.
    LogFormat {
        /// For people.
        Text = "text",
        /// An object a line.
        Json = "json"
    }
);

/// An address to serve at: numbers and a port, or the name of a host and a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Address(SocketAddr);

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Address, String> {
        if let Ok(address) = text.parse() {
            return Ok(Address(address));
        }
        if text.rsplit_once(':').is_none_or(|(_, port)| port.parse::<u16>().is_err()) {
            return Err("expected an address and a port, such as 127.0.0.1:7700 or localhost:7700".to_owned());
        }
        let found = text.to_socket_addrs().map_err(|e| format!("the host cannot be found: {e}"))?;
        // Of `localhost` IPv4, which is where clients look by default.
        let best = found.min_by_key(SocketAddr::is_ipv6).ok_or("the host has no address")?;
        Ok(Address(best))
    }
}

/// Where metrics are served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Metrics {
    /// Nowhere.
    Off,
    /// There.
    At(Address),
}

impl FromStr for Metrics {
    type Err = String;

    fn from_str(text: &str) -> Result<Metrics, String> {
        match text {
            "off" => Ok(Metrics::Off),
            text => text.parse().map(Metrics::At).map_err(|e| format!("{e}, or off")),
        }
    }
}

/// A value written as a word in a file.
fn parsed<'de, D: Deserializer<'de>, T: FromStr<Err: std::fmt::Display>>(
    from: D,
) -> Result<Option<T>, D::Error> {
    let text = String::deserialize(from)?;
    text.parse().map(Some).map_err(|e| serde::de::Error::custom(format!("'{text}': {e}")))
}

const LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 7700);
const METRICS: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 7701);
const GRACE_SECONDS: u32 = 30;

impl SettingsFile {
    /// Reads a file; the paths in it count from its folder.
    pub(super) fn read(path: &Path) -> anyhow::Result<SettingsFile> {
        let text = fs_err::read_to_string(path)?;
        let mut file: SettingsFile = toml::from_str(&text).map_err(|error| {
            let line = error.span().map_or(1, |at| 1 + text[..at.start].matches('\n').count());
            anyhow::anyhow!("{}: line {line}: {}", path.display(), error.message().replace('\n', "; "))
        })?;
        if let Some(key) = file.unknown.keys().next() {
            let message = format!("{}: unknown key '{key}'", path.display());
            let help = "at the top there are [server] and [[index]]; see `spandrel serve --help`";
            return Err(Advised::new(message, help).into());
        }
        let folder = path.parent().unwrap_or(Path::new(""));
        let from_folder = |path: &mut PathBuf| *path = folder.join(&*path);
        file.index.iter_mut().for_each(|index| from_folder(&mut index.path));
        let server = &mut file.server;
        server.root.iter_mut().for_each(from_folder);
        let files =
            [&mut server.tokens, &mut server.tls_certificate, &mut server.tls_key, &mut server.tls_client_ca];
        files.into_iter().flatten().for_each(from_folder);
        Ok(file)
    }
}

impl Settings {
    /// These settings, and where they say nothing the others.
    pub fn or(self, other: Settings) -> Settings {
        Settings {
            listen: self.listen.or(other.listen),
            metrics: self.metrics.or(other.metrics),
            codes: self.codes.or(other.codes),
            vectors: self.vectors.or(other.vectors),
            distances: self.distances.or(other.distances),
            cache: self.cache.or(other.cache),
            threads: self.threads.or(other.threads),
            in_flight: self.in_flight.or(other.in_flight),
            io: self.io.or(other.io),
            direct: self.direct.or(other.direct),
            root: if self.root.is_empty() { other.root } else { self.root },
            default_index: self.default_index.or(other.default_index),
            tokens: self.tokens.or(other.tokens),
            tls_certificate: self.tls_certificate.or(other.tls_certificate),
            tls_key: self.tls_key.or(other.tls_key),
            tls_client_ca: self.tls_client_ca.or(other.tls_client_ca),
            insecure: self.insecure || other.insecure,
            metrics_insecure: self.metrics_insecure || other.metrics_insecure,
            health: self.health.or(other.health),
            reflection: self.reflection.or(other.reflection),
            drain_seconds: self.drain_seconds.or(other.drain_seconds),
            grace_seconds: self.grace_seconds.or(other.grace_seconds),
            queue_delay_ms: self.queue_delay_ms.or(other.queue_delay_ms),
            degrade_effort_min: self.degrade_effort_min.or(other.degrade_effort_min),
            max_message: self.max_message.or(other.max_message),
            max_in_flight: self.max_in_flight.or(other.max_in_flight),
            max_k: self.max_k.or(other.max_k),
            max_lists: self.max_lists.or(other.max_lists),
            max_rerank: self.max_rerank.or(other.max_rerank),
            max_batch: self.max_batch.or(other.max_batch),
            stream_window: self.stream_window.or(other.stream_window),
            max_streams: self.max_streams.or(other.max_streams),
            max_connections: self.max_connections.or(other.max_connections),
            max_headers: self.max_headers.or(other.max_headers),
            handshake_seconds: self.handshake_seconds.or(other.handshake_seconds),
            idle_seconds: self.idle_seconds.or(other.idle_seconds),
            age_seconds: self.age_seconds.or(other.age_seconds),
            request_seconds: self.request_seconds.or(other.request_seconds),
            otlp: self.otlp.or(other.otlp),
            log_format: self.log_format.or(other.log_format),
        }
    }

    /// Time between saying that the server will stop and stopping.
    pub fn drain(&self) -> Duration {
        seconds(self.drain_seconds.unwrap_or(0))
    }

    /// Time for calls under way when the server stops.
    pub fn grace(&self) -> Duration {
        seconds(self.grace_seconds.unwrap_or(GRACE_SECONDS))
    }

    /// The server that these settings ask for.
    pub fn config(&self, dirs: &[NamedDir], entries: Vec<IndexEntry>) -> anyhow::Result<ServerConfig> {
        let tls = match (&self.tls_certificate, &self.tls_key) {
            (Some(certificate), Some(key)) => Some(TlsConfig {
                certificate: certificate.clone(),
                key: key.clone(),
                client_ca: self.tls_client_ca.clone(),
            }),
            (None, None) if self.tls_client_ca.is_none() => None,
            _ => return Err(UsageError("TLS needs both a certificate and its key".to_owned()).into()),
        };
        let engine = EngineConfig::default();
        Ok(ServerConfig {
            indexes: self.indexes(dirs, entries)?,
            listen: self.listen.map_or(LISTEN, |address| address.0),
            metrics: match self.metrics {
                None => Some(METRICS),
                Some(Metrics::Off) => None,
                Some(Metrics::At(address)) => Some(address.0),
            },
            engine: EngineConfig {
                threads: self.threads.map_or(engine.threads, usize::from),
                in_flight: self.in_flight.map_or(engine.in_flight, usize::from),
                io: self.io.unwrap_or(engine.io),
                direct: self.direct.unwrap_or(engine.direct),
                cache_bytes: self.cache.map_or(0, |size| size.0),
            },
            limits: self.limits()?,
            admission: self.admission()?,
            tls,
            tokens: self.tokens.clone(),
            roots: self.root.clone(),
            default_index: self.default_index.clone(),
            health: self.health != Some(Switch::Off),
            reflection: self.reflection != Some(Switch::Off),
            insecure: self.insecure,
            metrics_insecure: self.metrics_insecure,
        })
    }

    fn indexes(&self, dirs: &[NamedDir], entries: Vec<IndexEntry>) -> anyhow::Result<Vec<IndexConfig>> {
        let options =
            |codes: Option<Tier>, vectors: Option<Tier>, distances: Option<Distances>| OpenOptions {
                codes: codes.or(self.codes),
                vectors: vectors.or(self.vectors),
                ids: distances.or(self.distances) == Some(Distances::Any),
            };
        let mut indexes: Vec<IndexConfig> = dirs
            .iter()
            .map(|NamedDir { name, dir }| IndexConfig {
                name: name.clone(),
                path: dir.clone(),
                options: options(None, None, None),
            })
            .collect();
        for IndexEntry { name, path, codes, vectors, distances } in entries {
            // What the command line says of an index replaces what the file says of it.
            if !indexes.iter().any(|index| index.name == name) {
                indexes.push(IndexConfig { name, path, options: options(codes, vectors, distances) });
            }
        }
        let mut names: Vec<&str> = indexes.iter().map(|index| index.name.as_str()).collect();
        names.sort_unstable();
        if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(UsageError(format!("two indexes are called '{}'", twice[0])).into());
        }
        if indexes.is_empty() && self.root.is_empty() {
            return Err(UsageError(
                "no index to serve: give --index NAME=DIR, or --root DIR to load some later".to_owned(),
            )
            .into());
        }
        Ok(indexes)
    }

    fn admission(&self) -> anyhow::Result<AdmissionConfig> {
        let default = AdmissionConfig::default();
        let degrade_effort_min = self.degrade_effort_min.unwrap_or(default.degrade_effort_min);
        if !(degrade_effort_min > 0.0 && degrade_effort_min <= 1.0) {
            let message = format!("degrade-effort-min is {degrade_effort_min}, expected above 0 to 1");
            return Err(UsageError(message).into());
        }
        let queue_delay_max =
            self.queue_delay_ms.map_or(default.queue_delay_max, |ms| Duration::from_millis(ms.into()));
        Ok(AdmissionConfig { queue_delay_max, degrade_effort_min })
    }

    fn limits(&self) -> anyhow::Result<Limits> {
        let default = Limits::default();
        let bytes = |name: &str, given: Option<ByteSize>, default: usize, least: u64, most: u64| match given {
            None => Ok(default),
            Some(ByteSize(bytes)) if (least..=most).contains(&bytes) => Ok(bytes as usize), // CAST: bounded by `most`
            Some(ByteSize(bytes)) => {
                Err(UsageError(format!("{name} is {bytes} bytes, expected {least} to {most}")))
            }
        };
        let time = |given: Option<u32>, default| given.map_or(default, seconds);
        Ok(Limits {
            message_bytes: bytes("max-message", self.max_message, default.message_bytes, 1 << 10, 1 << 30)?,
            in_flight_bytes: bytes(
                "max-in-flight",
                self.max_in_flight,
                default.in_flight_bytes,
                1 << 20,
                1 << 40,
            )?,
            k: self.max_k.unwrap_or(default.k),
            lists: self.max_lists.unwrap_or(default.lists),
            rerank: self.max_rerank.unwrap_or(default.rerank),
            batch: self.max_batch.unwrap_or(default.batch),
            stream_window: self.stream_window.map_or(default.stream_window, usize::from),
            streams: self.max_streams.unwrap_or(default.streams),
            connections: self.max_connections.map_or(default.connections, |n| n as usize), // CAST: widening
            // CAST: at most 1 MiB
            header_bytes: bytes(
                "max-headers",
                self.max_headers,
                default.header_bytes as usize,
                1 << 10,
                1 << 20,
            )? as u32,
            handshake: time(self.handshake_seconds, default.handshake),
            idle: time(self.idle_seconds, default.idle),
            age: time(self.age_seconds, default.age),
            request: time(self.request_seconds, default.request),
        })
    }
}

fn seconds(count: u32) -> Duration {
    Duration::from_secs(count.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> anyhow::Result<SettingsFile> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("serve.toml");
        std::fs::write(&path, text).unwrap();
        SettingsFile::read(&path)
    }

    #[test]
    fn flags_go_before_files() {
        let file = read(
            "[server]\nlisten = '127.0.0.1:1'\nmax_k = 5\nmax_lists = 6\nmax_rerank = 7\nmetrics = 'off'\ntokens = 'tokens'\n\
             [[index]]\nname = 'a'\npath = 'there'\nvectors = 'memory'\n[[index]]\nname = 'b'\npath = '/abs'\n",
        )
        .unwrap();
        let flags = Settings { listen: Some("127.0.0.1:2".parse().unwrap()), ..Settings::default() };
        let settings = flags.or(file.server);
        let dirs = ["a=here".parse().unwrap()];
        let config = settings.config(&dirs, file.index).unwrap();
        assert_eq!(config.listen.port(), 2);
        assert_eq!((config.limits.k, config.metrics), (5, None));
        assert_eq!((config.limits.lists, config.limits.rerank), (6, 7));
        assert!(config.tokens.unwrap().is_absolute(), "counted from the file's folder");
        let paths: Vec<(&str, &Path)> =
            config.indexes.iter().map(|i| (i.name.as_str(), i.path.as_path())).collect();
        assert_eq!(paths, [("a", Path::new("here")), ("b", Path::new("/abs"))]);
    }

    #[test]
    fn addresses_may_be_names() {
        let address = |text: &str| text.parse::<Address>().map(|address| address.0.to_string());
        assert_eq!(address("127.0.0.1:7700").unwrap(), "127.0.0.1:7700");
        assert_eq!(address("[::1]:7700").unwrap(), "[::1]:7700");
        assert!("localhost:7700".parse::<Address>().unwrap().0.ip().is_loopback());
        for bad in ["localhost", "localhost:", "127.0.0.1", ":x", "", "localhost:77000"] {
            assert!(address(bad).unwrap_err().contains("localhost:7700"), "{bad}");
        }
        let file = read("[server]\nlisten = 'localhost:1'\nmetrics = 'localhost:2'\n").unwrap().server;
        assert_eq!(file.listen.unwrap().0.port(), 1);
        assert!(matches!(file.metrics, Some(Metrics::At(address)) if address.0.port() == 2));
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for text in [
            "[server]\nlisten = 'here'",
            "[server]\nunknown = 1",
            "listen = '127.0.0.1:1'",
            "[[index]]\nname = 'a'",
            "[server]\ncodes = 'tape'",
            "x",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
        for settings in [
            Settings::default(),
            Settings { tls_key: Some("k".into()), root: vec!["/".into()], ..Settings::default() },
            Settings { degrade_effort_min: Some(0.0), root: vec!["/".into()], ..Settings::default() },
            Settings { max_message: Some(ByteSize(1)), root: vec!["/".into()], ..Settings::default() },
        ] {
            assert!(settings.config(&[], Vec::new()).is_err(), "{settings:?}");
        }
        let twice = ["a=x".parse().unwrap(), "a=y".parse().unwrap()];
        assert!(Settings::default().config(&twice, Vec::new()).is_err());
        for bad in ["a", "=x", "a="] {
            assert!(bad.parse::<NamedDir>().is_err());
        }
    }
}
