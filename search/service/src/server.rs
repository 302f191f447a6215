//! The server as a whole: opened, serving, stopped.
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use spandrel_engine::Executor;
use spandrel_proto::DESCRIPTOR;
use spandrel_proto::v1::admin_service_server::AdminServiceServer;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tonic::service::{Routes, RoutesBuilder};

use crate::config::{ServerConfig, StartError};
use crate::connections::{Acceptor, LAST_WRITES};
use crate::descriptors::{Descriptors, Shares};
use crate::guard::Shared;
use crate::health::Health;
use crate::ledger::Ledger;
use crate::metrics::Metrics;
use crate::observe::{self, Indexes, Observed, router};
use crate::recall::{Budget, measure};
use crate::registry::{Loading, Registry};
use crate::request_id::RequestIds;
use crate::search::Local;
use crate::served::{IndexConfig, Opening};
use crate::stopping::Stopping;
use crate::threads::watch;
use crate::throttle::Throttle;
use crate::tls::Tls;
use crate::tokens::Tokens;
use crate::wire::{Admin, Grpc, StreamBounds};

/// A future whose code is compiled with this crate. That of an `async fn` is compiled with each program that awaits it, and
/// brings what drives connections along.
type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

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
    pub fn start(config: ServerConfig) -> Boxed<'static, Result<Server, StartError>> {
        Box::pin(Server::begin(config))
    }

    async fn begin(config: ServerConfig) -> Result<Server, StartError> {
        config.check()?;
        let (limits, descriptors) = (config.limits, Arc::new(config.descriptors()?));
        let tokens = config.tokens.as_deref().map(Tokens::open).transpose()?.unwrap_or_default();
        let tls = config.tls.as_ref().map(Tls::open).transpose()?;
        let port = Port::listen(config.listen).await?;
        let metrics_port = Port::listen_if(config.metrics).await?;
        let (listen, metrics_address) = (port.address, metrics_port.as_ref().map(|port| port.address));

        let mut counts = prometheus_client::registry::Registry::with_prefix("spandrel");
        let metrics = Metrics::new(&mut counts);
        let (reporter, health_server) = tonic_health::server::health_reporter();
        let health = Health::new(reporter);
        let registry = registry(&config, &metrics, &health, &descriptors).await?;
        counts.register_collector(Box::new(Indexes(Arc::clone(&registry))));
        counts.register_collector(Box::new(Descriptors));

        let stopping = Stopping::new();
        let searcher = Arc::new(Local { registry: Arc::clone(&registry), limits });
        let search = Grpc {
            searcher: searcher.clone(),
            streams: StreamBounds { window: limits.stream_window, longest: limits.request_max },
            message_bytes: limits.message_bytes,
        };
        let mut routes = Routes::builder();
        routes.add_service(AdminServiceServer::new(Admin::new(&registry, &stopping)));
        if config.health {
            routes.add_service(health_server);
        }
        if config.reflection {
            add_reflection(&mut routes);
        }
        let ledger = Arc::new(Ledger::new(limits, Arc::clone(&metrics)));
        let shared = Arc::new(Shared {
            tokens: tokens.clone(),
            stopping: stopping.clone(),
            metrics,
            limits,
            request_ids: RequestIds::new(),
            ledger: Arc::clone(&ledger),
            descriptors,
        });
        let observed = Observed {
            counts: Arc::new(counts),
            metrics: Arc::clone(&shared.metrics),
            searcher,
            registry: Arc::clone(&registry),
            stopping: stopping.clone(),
            k_max: limits.k_max,
            tokens: tokens.clone(),
            certificates: config.tls.as_ref().is_some_and(|tls| tls.client_ca.is_some()),
            is_local: metrics_address.is_some_and(|address| address.ip().is_loopback()),
            started: Instant::now(),
        };
        let budget = Budget { share: config.measure_recall, threads: config.engine.threads };
        let mut tasks = watching(&registry, budget, &stopping);
        if let (Some(tls), Some(config)) = (&tls, config.tls) {
            tasks.push(tokio::spawn(tls.clone().keep_fresh(config)));
        }
        if let Some(path) = config.tokens {
            tasks.push(tokio::spawn(tokens.keep_fresh(path)));
        }
        let acceptor = Acceptor {
            shared,
            search,
            routes: routes.routes().prepare(),
            tls,
            stopping: stopping.clone(),
            handshakes: Throttle::default(),
        };
        tasks.push(tokio::spawn(acceptor.run(port.listener)));
        if let Some(port) = metrics_port {
            tasks.push(tokio::spawn(observe::serve(port.listener, router(observed), ledger)));
        }
        let indexes = config.indexes;
        tracing::info!(%listen, indexes = indexes.len(), "loading");
        Ok(Server { listen, metrics: metrics_address, registry, health, stopping, indexes, tasks })
    }

    /// Opens the indexes, one after the other, and begins to answer when the last one is open. Dropped, it stops opening.
    ///
    /// # Errors
    /// [`StartError::Index`] of the first that cannot be served.
    pub fn open_indexes(&mut self) -> Boxed<'_, Result<(), StartError>> {
        Box::pin(self.open_all())
    }

    async fn open_all(&mut self) -> Result<(), StartError> {
        let indexes = std::mem::take(&mut self.indexes);
        self.put_by_descriptors(&indexes).await;
        for (done, index) in indexes.iter().enumerate() {
            self.registry.set_loading(Loading { done, of: indexes.len() });
            let opened = self.registry.load_first(index.clone()).await;
            let not_served =
                |refusal| StartError::Index { name: index.name.clone(), source: Box::new(refusal) };
            let served = opened.map_err(not_served)?;
            let (vectors, version) = (served.index().vectors(), served.version().number);
            tracing::info!(index = index.name, version, vectors, io = %served.engine().io().backend, "serving");
            let looking = tokio::task::spawn_blocking(move || served.other_in_force());
            if let Ok(Some(in_force)) = looking.await {
                tracing::warn!(
                    index = index.name,
                    version,
                    in_force,
                    "another version is in force in its folder"
                );
            }
        }
        self.registry.descriptors().warn_of_few();
        self.registry.set_loaded().await;
        Ok(())
    }

    /// Keeps connections from taking the descriptors of indexes that are to be opened. What does not fit, or cannot be read, is
    /// refused where the index is opened.
    async fn put_by_descriptors(&self, indexes: &[IndexConfig]) {
        let (registry, indexes) = (Arc::clone(&self.registry), indexes.to_vec());
        let counting = tokio::task::spawn_blocking(move || {
            for index in &indexes {
                let source = index.source();
                let store = source.place.store().ok();
                if let Some(files) = store.and_then(|store| source.files(&store))
                    && registry.descriptors().put_by(&index.name, files).is_err()
                {
                    break;
                }
            }
        });
        drop(counting.await);
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
    pub fn stop(self, drain: Duration, grace: Duration) -> Boxed<'static, usize> {
        Box::pin(self.end(drain, grace))
    }

    async fn end(self, drain: Duration, grace: Duration) -> usize {
        let indexes: Vec<String> =
            self.registry.all().iter().map(|served| served.config.name.clone()).collect();
        self.stopping.drain();
        self.health.stopping(&indexes).await;
        tokio::time::sleep(drain).await;
        self.stopping.stop();
        let finished = timeout(grace, self.stopping.idle()).await;
        if finished.is_ok() {
            // What the last answers left in buffers of connections: a client that hangs does not keep the server for longer.
            drop(timeout(LAST_WRITES.min(grace), self.stopping.closed()).await);
        }
        let cut = if finished.is_ok() { 0 } else { self.stopping.under_way() };
        tracing::info!(cut, "stopped");
        cut
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// A port that is being listened on.
struct Port {
    listener: TcpListener,
    address: SocketAddr,
}

impl Port {
    async fn listen(address: SocketAddr) -> Result<Port, StartError> {
        let bound = TcpListener::bind(address).await;
        let listener = bound.map_err(|source| StartError::Listen { address, source })?;
        let address = listener.local_addr().unwrap_or(address);
        Ok(Port { listener, address })
    }

    async fn listen_if(address: Option<SocketAddr>) -> Result<Option<Port>, StartError> {
        match address {
            Some(address) => Port::listen(address).await.map(Some),
            None => Ok(None),
        }
    }
}

/// What looks after the indexes while they are served.
fn watching(registry: &Arc<Registry>, budget: Budget, stopping: &Stopping) -> Vec<JoinHandle<()>> {
    let mut tasks = vec![tokio::spawn(watch(Arc::clone(registry), stopping.clone()))];
    if budget.share > 0.0 {
        tasks.push(tokio::spawn(measure(Arc::clone(registry), budget, stopping.clone())));
    }
    tasks
}

/// The indexes that will be there, none of them open yet.
async fn registry(
    config: &ServerConfig,
    metrics: &Arc<Metrics>,
    health: &Health,
    descriptors: &Arc<Shares>,
) -> Result<Arc<Registry>, StartError> {
    let executor = Executor::new(config.engine)?;
    let opening = Opening {
        executor,
        admission: config.admission,
        metrics: Arc::clone(metrics),
        measures_recall: config.measure_recall > 0.0,
        corrects_recall: config.correct_recall,
        descriptors: Arc::clone(descriptors),
        filter_bytes: config.limits.filter_bytes,
    };
    let (roots, default) = (config.canonical_roots()?, config.default_index.clone());
    let registry = Registry::new(opening, roots, default, health.clone());
    health.loading(config.indexes.iter().map(|index| index.name.as_str())).await;
    registry.set_loading(Loading { done: 0, of: config.indexes.len() });
    Ok(Arc::new(registry))
}

/// Reflection in both versions that clients ask for.
fn add_reflection(routes: &mut RoutesBuilder) {
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
