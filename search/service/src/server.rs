//! The server as a whole: opened, serving, stopped.
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use spandrel_engine::EngineConfig;
use spandrel_proto::DESCRIPTOR;
use spandrel_proto::v1::admin_service_server::AdminServiceServer;
use spandrel_proto::v1::search_service_server::SearchServiceServer;
use spandrel_tls::TlsError;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tonic::service::Routes;

use crate::admission::AdmissionConfig;
use crate::causes::{known_words, with_causes};
use crate::connections::Acceptor;
use crate::descriptors::{self, Descriptors};
use crate::guard::Shared;
use crate::health::Health;
use crate::ledger::Ledger;
use crate::limits::Limits;
use crate::metrics::Metrics;
use crate::observe::{self, Indexes, Observed, router};
use crate::operations::Operations;
use crate::registry::{Loading, Registry};
use crate::request_id::RequestIds;
use crate::search::Local;
use crate::served::{IndexConfig, Opening};
use crate::stopping::Stopping;
use crate::threads::watch;
use crate::throttle::Throttle;
use crate::tls::{Tls, TlsConfig};
use crate::tokens::{Tokens, TokensError};
use crate::wire::{Admin, Grpc, StreamBounds};

/// How a server runs.
#[derive(Debug, Clone)]
pub struct ServerConfig {
    /// Indexes to open at the start.
    pub indexes: Vec<IndexConfig>,
    /// Where gRPC is served; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Where metrics are served, if they are.
    pub metrics: Option<SocketAddr>,
    /// Threads of search, and how they read, for each index.
    pub engine: EngineConfig,
    /// Name of the index that requests get which name none; of several indexes there is no other default.
    pub default_index: Option<String>,
    /// Bounds on requests and connections.
    pub limits: Limits,
    /// When requests are refused under load.
    pub admission: AdmissionConfig,
    /// The server's certificate.
    pub tls: Option<TlsConfig>,
    /// File of API tokens.
    pub tokens: Option<PathBuf>,
    /// Folders that indexes may be opened from at a client's request.
    pub roots: Vec<PathBuf>,
    /// Whether the health service answers.
    pub health: bool,
    /// Whether the reflection service answers.
    pub reflection: bool,
    /// Whether other machines may connect for gRPC although there is neither TLS nor a token.
    pub insecure: bool,
    /// Whether other machines may reach the metrics, which have no TLS.
    pub metrics_insecure: bool,
}

/// Why a server could not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// Other machines could connect, unencrypted or without a token.
    #[error(
        "{listen} can be reached from other machines, and there is {missing}; give it, or say --insecure if the network is trusted"
    )]
    Insecure {
        /// The address.
        listen: SocketAddr,
        /// What is missing.
        missing: &'static str,
    },
    /// Other machines could read the metrics, unencrypted and without a token.
    #[error(
        "{metrics}, where metrics are served, can be reached from other machines, and that port has no TLS; serve them on 127.0.0.1, or say --metrics-insecure if the network is trusted"
    )]
    InsecureMetrics {
        /// The address.
        metrics: SocketAddr,
    },
    /// An address cannot be listened on.
    #[error("{address} cannot be listened on")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// An index cannot be served.
    #[error("index '{name}': {reason}")]
    Index {
        /// Name the index was to be served under.
        name: String,
        /// Why.
        reason: String,
    },
    /// The default index is none of those that are served from the start.
    #[error("--default-index {name}: no index is called that; there {}", known_words(.known))]
    DefaultIndex {
        /// The name given.
        name: String,
        /// The names there are.
        known: Vec<String>,
    },
    /// The system allows too few open files for any connection.
    #[error(
        "the system allows {allowed} open files, which indexes and pages need alone; raise it (ulimit -n, LimitNOFILE) or give fewer --threads"
    )]
    Descriptors {
        /// Files that may be open.
        allowed: usize,
    },
    /// A folder named as a root is not there.
    #[error("a root cannot be opened")]
    Root(#[source] io::Error),
    /// TLS cannot be had.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The tokens cannot be read.
    #[error(transparent)]
    Tokens(#[from] TokensError),
}

impl ServerConfig {
    /// Checks what can be checked without opening indexes or listening.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn check(&self) -> Result<(), StartError> {
        if let Some(tokens) = &self.tokens {
            Tokens::open(tokens)?;
        }
        if let Some(tls) = &self.tls {
            Tls::open(tls)?;
        }
        self.canonical_roots()?;
        if let Some(name) = &self.default_index
            // What is loaded later may be called that.
            && self.roots.is_empty()
            && !self.indexes.iter().any(|index| index.name == *name)
        {
            let known = self.indexes.iter().map(|index| index.name.clone()).collect();
            return Err(StartError::DefaultIndex { name: name.clone(), known });
        }
        let is_open = |address: SocketAddr| !address.ip().is_loopback();
        let missing = match (&self.tls, &self.tokens) {
            (None, _) => "no TLS",
            (Some(tls), None) if tls.client_ca.is_none() => "no token and no client certificate is asked for",
            _ => "",
        };
        if is_open(self.listen) && !missing.is_empty() && !self.insecure {
            return Err(StartError::Insecure { listen: self.listen, missing });
        }
        match self.metrics {
            Some(metrics) if is_open(metrics) && !self.metrics_insecure => {
                Err(StartError::InsecureMetrics { metrics })
            }
            _ => Ok(()),
        }
    }

    /// The limits, with no more connections than there are descriptors for.
    fn limits_that_fit(&self) -> Result<Limits, StartError> {
        let allowed = descriptors::raise();
        let pages = if self.metrics.is_some() { observe::CONNECTIONS } else { 0 };
        let most = descriptors::connections(allowed, pages, self.indexes.len(), self.engine.threads);
        if most == 0 {
            return Err(StartError::Descriptors { allowed });
        }
        let wanted = self.limits.connections;
        if most < wanted {
            tracing::warn!(
                wanted,
                most,
                allowed,
                "the system allows too few open files for all connections; raise it (ulimit -n, LimitNOFILE)"
            );
        }
        Ok(Limits { connections: wanted.min(most), ..self.limits })
    }

    /// What works and is perhaps not meant: secrets that everybody on this machine can read, certificates that are named and
    /// never asked for.
    pub fn warnings(&self) -> Vec<String> {
        let secrets = [self.tokens.as_ref(), self.tls.as_ref().map(|tls| &tls.key)];
        let readable = secrets.into_iter().flatten().filter(|path| readable_by_all(path));
        let mut warnings: Vec<String> = readable
            .map(|path| {
                format!("{path}: everybody on this machine can read it; chmod 600 it", path = path.display())
            })
            .collect();
        let asks = self.tls.as_ref().is_some_and(|tls| tls.client_ca.is_some());
        if let Some(path) = &self.tokens
            && !asks
            && Tokens::open(path).is_ok_and(|tokens| tokens.names_certificates())
        {
            let path = path.display();
            warnings.push(format!(
                "{path}: names certificates, which clients are asked for with --tls-client-ca alone"
            ));
        }
        warnings
    }

    fn canonical_roots(&self) -> Result<Vec<PathBuf>, StartError> {
        self.roots.iter().map(fs_err::canonicalize).collect::<Result<_, _>>().map_err(StartError::Root)
    }
}

fn readable_by_all(path: &Path) -> bool {
    const OTHERS_READ: u32 = 0o004;
    fs_err::metadata(path).is_ok_and(|meta| meta.permissions().mode() & OTHERS_READ != 0)
}

/// A running server. Stop it with [`Server::stop`]; dropped, it ends without waiting for anything.
pub struct Server {
    listen: SocketAddr,
    metrics: Option<SocketAddr>,
    registry: Arc<Registry>,
    health: Health,
    stopping: Stopping,
    /// Indexes to be opened.
    indexes: Vec<IndexConfig>,
    tasks: Vec<JoinHandle<()>>,
}

impl Server {
    /// Starts to listen: both ports tell that the server is loading until [`Server::open_indexes`] is through.
    ///
    /// # Errors
    /// [`StartError`]; nothing is being served then.
    pub async fn start(config: ServerConfig) -> Result<Server, StartError> {
        config.check()?;
        let limits = config.limits_that_fit()?;
        let tokens = config.tokens.as_deref().map(Tokens::open).transpose()?.unwrap_or_default();
        let tls = config.tls.as_ref().map(Tls::open).transpose()?;
        let listener = listen(config.listen).await?;
        let metrics_listener = match config.metrics {
            Some(address) => Some(listen(address).await?),
            None => None,
        };
        let local = |listener: &TcpListener, fallback| listener.local_addr().unwrap_or(fallback);
        let (listen, metrics_address) = (
            local(&listener, config.listen),
            metrics_listener.as_ref().zip(config.metrics).map(|(listener, address)| local(listener, address)),
        );

        let mut counts = prometheus_client::registry::Registry::with_prefix("spandrel");
        let metrics = Metrics::new(&mut counts);
        let opening =
            Opening { engine: config.engine, admission: config.admission, metrics: Arc::clone(&metrics) };
        let (reporter, health_server) = tonic_health::server::health_reporter();
        let health = Health::new(reporter);
        let registry = Arc::new(Registry::new(
            opening,
            config.canonical_roots()?,
            config.default_index.clone(),
            health.clone(),
        ));
        health.loading(config.indexes.iter().map(|index| index.name.as_str())).await;
        registry.set_loading(Loading { done: 0, of: config.indexes.len() });
        counts.register_collector(Box::new(Indexes(Arc::clone(&registry))));
        counts.register_collector(Box::new(Descriptors));

        let stopping = Stopping::new();
        let searcher = Arc::new(Local { registry: Arc::clone(&registry), limits });
        let grpc = Grpc {
            searcher: searcher.clone(),
            streams: StreamBounds { window: limits.stream_window, longest: limits.request },
        };
        let admin = Admin {
            registry: Arc::clone(&registry),
            operations: Operations::new(stopping.clone()),
            verifying: Arc::new(Semaphore::new(1)),
        };
        let bytes = limits.message_bytes;
        let mut routes = Routes::builder();
        routes.add_service(
            SearchServiceServer::new(grpc).max_decoding_message_size(bytes).max_encoding_message_size(bytes),
        );
        routes.add_service(AdminServiceServer::new(admin));
        if config.health {
            routes.add_service(health_server);
        }
        if config.reflection {
            add_reflection(&mut routes);
        }
        let ledger = Arc::new(Ledger::new(limits, Arc::clone(&metrics)));
        let request_ids = RequestIds::new();
        let shared = Arc::new(Shared {
            tokens: tokens.clone(),
            stopping: stopping.clone(),
            metrics,
            limits,
            request_ids,
            ledger: Arc::clone(&ledger),
        });
        let observed = Observed {
            counts: Arc::new(counts),
            metrics: Arc::clone(&shared.metrics),
            searcher,
            registry: Arc::clone(&registry),
            stopping: stopping.clone(),
            k_max: limits.k,
            tokens: tokens.clone(),
            certificates: config.tls.as_ref().is_some_and(|tls| tls.client_ca.is_some()),
            is_local: metrics_address.is_some_and(|address| address.ip().is_loopback()),
            started: Instant::now(),
        };
        let mut tasks = Vec::new();
        if let (Some(tls), Some(config)) = (&tls, config.tls) {
            tasks.push(tokio::spawn(tls.clone().keep_fresh(config)));
        }
        if let Some(path) = config.tokens {
            tasks.push(tokio::spawn(tokens.keep_fresh(path)));
        }
        let acceptor = Acceptor {
            shared,
            routes: routes.routes(),
            tls,
            stopping: stopping.clone(),
            handshakes: Throttle::default(),
        };
        tasks.push(tokio::spawn(acceptor.run(listener)));
        if let Some(listener) = metrics_listener {
            let pages = router(observed);
            tasks.push(tokio::spawn(observe::serve(listener, pages, ledger)));
        }
        tasks.push(tokio::spawn(watch(Arc::clone(&registry), stopping.clone())));
        let indexes = config.indexes;
        tracing::info!(%listen, indexes = indexes.len(), "loading");
        Ok(Server { listen, metrics: metrics_address, registry, health, stopping, indexes, tasks })
    }

    /// Opens the indexes, one after the other, and begins to answer when the last one is open. Dropped, it stops opening.
    ///
    /// # Errors
    /// [`StartError::Index`] of the first that cannot be served.
    pub async fn open_indexes(&mut self) -> Result<(), StartError> {
        let indexes = std::mem::take(&mut self.indexes);
        for (done, index) in indexes.iter().enumerate() {
            self.registry.set_loading(Loading { done, of: indexes.len() });
            let opened = self.registry.load_first(index.clone()).await;
            let served = opened.map_err(|refusal| StartError::Index {
                name: index.name.clone(),
                reason: with_causes(&refusal),
            })?;
            let (vectors, version) = (served.index().vectors(), served.version().number);
            tracing::info!(index = index.name, version, vectors, io = %served.engine().io().backend, "serving");
        }
        self.registry.set_loaded().await;
        Ok(())
    }

    /// Where gRPC is served.
    pub fn listen(&self) -> SocketAddr {
        self.listen
    }

    /// Where metrics are served.
    pub fn metrics(&self) -> Option<SocketAddr> {
        self.metrics
    }

    /// Stops gracefully: says so to those who ask for its health, goes on for `drain`, so that they send their calls
    /// elsewhere, takes no more connections, finishes what is under way, for `grace` at most. Calls that were cut short by
    /// the end of that.
    pub async fn stop(self, drain: Duration, grace: Duration) -> usize {
        let indexes: Vec<String> =
            self.registry.all().iter().map(|served| served.config.name.clone()).collect();
        self.stopping.drain();
        self.health.stopping(&indexes).await;
        tokio::time::sleep(drain).await;
        self.stopping.stop();
        let finished = timeout(grace, self.stopping.idle()).await;
        if finished.is_ok() {
            // What the last answers left in buffers of connections.
            drop(timeout(LAST_WRITES.min(grace), self.stopping.closed()).await);
        }
        let cut = if finished.is_ok() { 0 } else { self.stopping.under_way() };
        tracing::info!(cut, "stopped");
        cut
    }
}

/// Longest time for connections to close after the last call. A client that hangs does not keep the server for longer.
const LAST_WRITES: Duration = Duration::from_secs(5);

impl Drop for Server {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

async fn listen(address: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(address).await.map_err(|source| StartError::Listen { address, source })
}

/// Reflection in both versions that clients ask for.
fn add_reflection(routes: &mut tonic::service::RoutesBuilder) {
    let builder = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(DESCRIPTOR)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let (Ok(v1), Ok(v1alpha)) = (builder().build_v1(), builder().build_v1alpha()) else {
        unreachable!("the descriptors were compiled with this program")
    };
    routes.add_service(v1).add_service(v1alpha);
}
