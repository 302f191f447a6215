//! The second port: metrics for Prometheus.
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::gauge::ConstGauge;

use crate::admin::memory;
use crate::registry::Registry;
use crate::stopping::Stopping;

/// What the second port shows.
#[derive(Clone)]
pub(crate) struct Observed {
    pub(crate) counts: Arc<prometheus_client::registry::Registry>,
    pub(crate) stopping: Stopping,
}

/// The pages of the second port.
pub(crate) fn router(observed: Observed) -> Router {
    Router::new().route("/metrics", get(metrics)).route("/healthz", get(healthz)).with_state(observed)
}

async fn metrics(State(observed): State<Observed>) -> impl IntoResponse {
    let mut text = String::new();
    // Writing to a string does not fail.
    let encoded = prometheus_client::encoding::text::encode(&mut text, &observed.counts);
    let status = if encoded.is_ok() { StatusCode::OK } else { StatusCode::INTERNAL_SERVER_ERROR };
    (status, [(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text)
}

async fn healthz(State(observed): State<Observed>) -> impl IntoResponse {
    match observed.stopping.is_asked() {
        false => (StatusCode::OK, "serving\n"),
        true => (StatusCode::SERVICE_UNAVAILABLE, "stopping\n"),
    }
}

/// What follows from looking at the indexes, at the moment of asking.
pub(crate) struct Indexes(pub(crate) Arc<Registry>);

impl std::fmt::Debug for Indexes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Indexes")
    }
}

impl Collector for Indexes {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let all = self.0.all();
        let mut gauge = |name: &str, help: &str, of: &dyn Fn(&crate::served::Served) -> f64| {
            let empty = ConstGauge::new(0.0);
            let mut metric = encoder.encode_descriptor(name, help, None, empty.metric_type())?;
            for served in &all {
                let labels = [("index", served.config.name.as_str())];
                ConstGauge::new(of(served)).encode(metric.encode_family(&labels)?)?;
            }
            Ok::<_, std::fmt::Error>(())
        };
        // CAST: shown as numbers
        gauge("index_version", "Version being served", &|s| s.version() as f64)?;
        gauge("index_vectors", "Vectors in the index", &|s| s.index().vectors() as f64)?;
        gauge("index_quarantined", "Lists and pages left out because they are damaged", &|s| {
            s.engine().damage().len() as f64
        })?;
        gauge("queries_in_flight", "Queries waiting or being searched", &|s| s.admission.in_flight() as f64)?;
        gauge("queue_delay_seconds", "Expected time in the queue of a query that comes now", &|s| {
            s.admission.delay().as_secs_f64()
        })?;
        let empty = ConstGauge::new(0.0);
        let help = "Bytes of memory by part of the index";
        let mut metric = encoder.encode_descriptor("memory_bytes", help, None, empty.metric_type())?;
        for served in &all {
            for (part, bytes) in memory(served) {
                let labels = [("index", served.config.name.as_str()), ("part", part)];
                ConstGauge::new(bytes as f64).encode(metric.encode_family(&labels)?)?; // CAST: as above
            }
        }
        Ok(())
    }
}
