//! What the second port shows, and its answers in JSON.
use std::sync::Arc;
use std::time::Instant;

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};

use crate::metrics::Metrics;
use crate::registry::Registry;
use crate::search::Searcher;
use crate::stopping::Stopping;
use crate::tokens::Tokens;

/// What the second port shows.
#[derive(Clone)]
pub(crate) struct Observed {
    pub(crate) counts: Arc<prometheus_client::registry::Registry>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) searcher: Arc<dyn Searcher>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) stopping: Stopping,
    /// Most neighbours of one query.
    pub(crate) k_max: u32,
    pub(crate) tokens: Tokens,
    /// Whether gRPC asks for client certificates. This port cannot check any.
    pub(crate) certificates: bool,
    /// Whether only this machine reaches the port.
    pub(crate) is_local: bool,
    pub(crate) started: Instant,
}

/// A JSON answer.
pub(super) fn json(status: StatusCode, value: &serde_json::Value) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], value.to_string()).into_response()
}
