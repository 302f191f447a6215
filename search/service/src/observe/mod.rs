//! The second port: metrics for Prometheus, and a status page.
mod page;

use std::net::SocketAddr;
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
use crate::search::Searcher;
use crate::served::Served;
use crate::tokens::Tokens;

/// What the second port shows.
#[derive(Clone)]
pub(crate) struct Observed {
    pub(crate) counts: Arc<prometheus_client::registry::Registry>,
    pub(crate) searcher: Searcher,
    pub(crate) tokens: Arc<Tokens>,
    /// The address of the port itself.
    pub(crate) listen: SocketAddr,
}

/// The pages of the second port.
pub(crate) fn router(observed: Observed) -> Router {
    let plain = Router::new().route("/metrics", get(metrics)).route("/healthz", get(healthz));
    plain.with_state(observed.clone()).merge(page::router(observed))
}

async fn metrics(State(observed): State<Observed>) -> impl IntoResponse {
    let mut text = String::new();
    // Writing to a string does not fail.
    let encoded = prometheus_client::encoding::text::encode(&mut text, &observed.counts);
    let status = if encoded.is_ok() { StatusCode::OK } else { StatusCode::INTERNAL_SERVER_ERROR };
    (status, [(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text)
}

async fn healthz(State(observed): State<Observed>) -> impl IntoResponse {
    match observed.searcher.stopping.is_asked() {
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

/// What is told of each index besides its memory.
const INDEX_GAUGES: [(&str, &str); 5] = [
    ("index_version", "Version being served"),
    ("index_vectors", "Vectors in the index"),
    ("index_quarantined", "Lists and pages left out because they are damaged"),
    ("queries_in_flight", "Queries waiting or being searched"),
    ("queue_delay_seconds", "Expected time in the queue of a query that comes now"),
];

fn gauge(served: &Served, name: &str) -> f64 {
    // CAST: shown as numbers
    match name {
        "index_version" => served.version() as f64,
        "index_vectors" => served.index().vectors() as f64,
        "index_quarantined" => served.engine().damage().len() as f64,
        "queries_in_flight" => served.admission.in_flight() as f64,
        _ => served.admission.delay().as_secs_f64(),
    }
}

impl Collector for Indexes {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let all = self.0.all();
        for (name, help) in INDEX_GAUGES {
            let empty = ConstGauge::new(0.0);
            let mut metric = encoder.encode_descriptor(name, help, None, empty.metric_type())?;
            for served in &all {
                let labels = [("index", served.config.name.as_str())];
                ConstGauge::new(gauge(served, name)).encode(metric.encode_family(&labels)?)?;
            }
        }
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::metrics::Metrics;

    /// Every name in an expression is one that the server tells.
    #[test]
    fn the_dashboard_asks_for_what_there_is() {
        let mut registry = prometheus_client::registry::Registry::with_prefix("spandrel");
        let metrics = Metrics::new(&mut registry);
        metrics.called("Search", "OK", 0.001);
        drop(metrics.index("an index"));
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        let name_of = |line: &str| line.split(['{', ' ']).next().unwrap_or_default().to_owned();
        let mut told: BTreeSet<String> =
            text.lines().filter(|line| !line.starts_with('#')).map(name_of).collect();
        for (name, _) in INDEX_GAUGES {
            told.insert(format!("spandrel_{name}"));
        }
        told.insert("spandrel_memory_bytes".to_owned());
        let dashboard = include_str!("../../grafana-dashboard.json");
        let asked: BTreeSet<String> = dashboard
            .split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
            .filter(|word| word.starts_with("spandrel_"))
            .map(str::to_owned)
            .collect();
        assert!(asked.len() > 15, "{asked:?}");
        let missing: Vec<&String> = asked.difference(&told).collect();
        assert!(missing.is_empty(), "{missing:?} of {told:?}");
    }
}
