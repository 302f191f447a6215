//! The gRPC server: messages to queries and back, limits, tokens, metrics, health.
//!
//! tonic and hyper carry the wire on tokio's threads; queries are searched by the engine's own threads, with a queue
//! in between whose delay is measured and bounded. Promises: nothing blocks a thread of the runtime; what is refused is
//! refused at once, with a status of the table in `search.proto` and what to change; no message makes it panic or
//! allocate without bound; every answer comes from one version of an index. It knows no algorithm of search and no
//! file format.
mod admission;
mod ask;
mod attributes;
mod audit;
mod call;
mod causes;
mod config;
mod connections;
mod deadline;
mod descriptors;
mod filter_fault;
mod filters;
mod fresh;
mod guard;
mod health;
mod histogram;
mod index_name;
mod ledger;
mod limits;
mod method;
mod metrics;
mod observe;
mod operations;
mod peer;
mod place;
mod progress;
mod recall;
mod refusal;
mod registry;
mod request_id;
mod search;
mod served;
mod server;
mod stopping;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod threads;
mod throttle;
mod tls;
mod tokens;
#[cfg(feature = "otel")]
mod trace_parent;
mod turns;
mod unloader;
mod watched;
mod wire;

pub use admission::AdmissionConfig;
pub use config::{ServerConfig, StartError};
pub use index_name::{IndexNameError, check_index_name};
pub use limits::Limits;
pub use served::IndexConfig;
pub use server::Server;
pub use tls::TlsConfig;
pub use tokens::TokensError;
