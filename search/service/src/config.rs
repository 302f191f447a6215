//! How a server runs, and what keeps it from starting.
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use spandrel_engine::{EngineConfig, EngineError};
use spandrel_names::{QUOTED_MAX, cut};
use spandrel_tls::TlsError;

use crate::admission::AdmissionConfig;
use crate::causes::known_words;
use crate::descriptors::Shares;
use crate::index_name::{IndexNameError, check_index_name};
use crate::limits::Limits;
use crate::served::IndexConfig;
use crate::tls::{Tls, TlsConfig};
use crate::tokens::{Tokens, TokensError};
use crate::{descriptors, observe};

/// How a server runs.
#[derive(Debug, Clone)]
pub struct ServerConfig {
    /// Indexes to open at the start.
    pub indexes: Vec<IndexConfig>,
    /// Where gRPC is served; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Where metrics are served, if they are.
    pub metrics: Option<SocketAddr>,
    /// Search threads, which all indexes share, and how they read.
    pub engine: EngineConfig,
    /// Name of the index that requests get which name none; of several indexes there is no other default.
    pub default_index: Option<String>,
    /// Bounds on requests and connections.
    pub limits: Limits,
    /// When requests are refused under load.
    pub admission: AdmissionConfig,
    /// Share of the time of search threads in which queries are compared with every vector to measure recall, from 0 (not at
    /// all) to 1.
    pub measure_recall: f32,
    /// Whether queries that ask for a recall aim higher, where what they find is measured to be under it.
    pub correct_recall: bool,
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
        /// Address of the gRPC server.
        listen: SocketAddr,
        /// What is missing.
        missing: &'static str,
    },
    /// Other machines could read the metrics, unencrypted and without a token.
    #[error(
        "{metrics}, where metrics are served, can be reached from other machines, and that port has no TLS; serve them on 127.0.0.1, or say --metrics-insecure if the network is trusted"
    )]
    InsecureMetrics {
        /// Address of the metrics and the status page.
        metrics: SocketAddr,
    },
    /// An address cannot be listened on.
    #[error("{address} cannot be listened on")]
    Listen {
        /// Address that could not be bound.
        address: SocketAddr,
        /// The system's answer to the bind.
        #[source]
        source: io::Error,
    },
    /// An index cannot be served.
    #[error("index '{name}'")]
    Index {
        /// Name the index was to be served under.
        name: String,
        /// What is wrong with the index or its options.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// An index cannot be served under the name that it was given.
    #[error(transparent)]
    Name(#[from] IndexNameError),
    /// No index can be called what the default index is.
    #[error("--default-index: {0}")]
    DefaultName(IndexNameError),
    /// The default index is none of those that are served from the start.
    #[error("--default-index {}: no index is called that; there {}", cut(.name, QUOTED_MAX), known_words(.known))]
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
    /// The search threads cannot be started.
    #[error("the search threads cannot be started")]
    Threads(#[from] EngineError),
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
        for index in &self.indexes {
            check_index_name(&index.name)?;
        }
        if let Some(tokens) = &self.tokens {
            Tokens::open(tokens)?;
        }
        if let Some(tls) = &self.tls {
            Tls::open(tls)?;
        }
        self.canonical_roots()?;
        if let Some(name) = &self.default_index {
            check_index_name(name).map_err(StartError::DefaultName)?;
        }
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

    /// The descriptors that the system allows, shared out.
    pub(crate) fn descriptors(&self) -> Result<Shares, StartError> {
        let allowed = descriptors::raise();
        let pages = if self.metrics.is_some() { observe::CONNECTIONS } else { 0 };
        let wanted = self.limits.connections_max;
        let shares = Shares::new(allowed, pages + self.engine.threads, wanted);
        if shares.connections() == 0 {
            return Err(StartError::Descriptors { allowed });
        }
        Ok(shares)
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

    pub(crate) fn canonical_roots(&self) -> Result<Vec<PathBuf>, StartError> {
        self.roots.iter().map(fs_err::canonicalize).collect::<Result<_, _>>().map_err(StartError::Root)
    }
}

fn readable_by_all(path: &Path) -> bool {
    const OTHERS_READ: u32 = 0o004;
    fs_err::metadata(path).is_ok_and(|meta| meta.permissions().mode() & OTHERS_READ != 0)
}
