//! `/api/status`: all that the page shows, in JSON. Counts only grow, so that a reader takes differences.
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Map, Value, json};
use spandrel_engine::RecallEstimate;
use spandrel_index::format::RecallCurve;

use super::observed::{Observed, json};
use crate::histogram::{Histogram, SECONDS};
use crate::metrics::STAGES;
use crate::served::Served;

/// Damaged parts told one by one.
const DAMAGE_TOLD: usize = 20;

pub(super) async fn status(State(observed): State<Observed>) -> Response {
    json(StatusCode::OK, &value(&observed))
}

fn value(observed: &Observed) -> Value {
    let metrics = &observed.metrics;
    let calls: Vec<Value> = metrics
        .calls()
        .into_iter()
        .map(|(labels, count)| json!({ "method": labels.method, "code": labels.code, "count": count }))
        .collect();
    let indexes: Vec<Value> = observed.registry.all().iter().map(|served| index(served)).collect();
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "uptime_seconds": observed.started.elapsed().as_secs_f64(),
        "stopping": observed.stopping.is_asked(),
        "search": if observed.certificates { "off" } else if observed.tokens.is_empty() { "open" } else { "token" },
        "k_max": observed.k_max,
        "connections": metrics.connections.get(),
        "connections_refused": metrics.connections_refused.get(),
        "in_flight_bytes": metrics.in_flight_bytes.get(),
        "calls": calls,
        // Upper ends of the buckets of times; there is one bucket more.
        "bucket_seconds": SECONDS,
        "indexes": indexes,
    })
}

fn index(served: &Served) -> Value {
    let (index, damage) = (served.index(), served.engine().damage());
    let counts: Map<String, Value> =
        served.metrics.totals().into_iter().map(|(name, count)| (name.to_owned(), count.into())).collect();
    let times = |histogram: &Histogram| {
        let times = histogram.snapshot();
        json!({ "buckets": times.buckets, "sum_seconds": times.sum_seconds })
    };
    let metrics = &served.metrics;
    let wholes = [("queue", &metrics.queue), ("search", &metrics.search)];
    let parts = STAGES.into_iter().zip(&metrics.stages);
    let stages: Map<String, Value> = wholes
        .into_iter()
        .chain(parts)
        .map(|(stage, histogram)| (stage.to_owned(), times(histogram)))
        .collect();
    let recall: Vec<Value> = served
        .measured()
        .into_iter()
        .map(|of| {
            let RecallEstimate { recall, low, high, queries } = of.estimate;
            let (k, target, is_under) = (of.asked.k, of.asked.target, of.is_under());
            json!({ "k": k, "target": target, "recall": recall, "low": low, "high": high, "queries": queries, "under_target": is_under })
        })
        .collect();
    let calibration = index.recall().map(|curves| {
        let curve = |curve: &RecallCurve| {
            json!({ "k": curve.k, "queries": curve.queries, "most": curve.points.last().map(|point| point.recall) })
        };
        json!({
            "source": curves.source,
            "confidence": curves.confidence,
            "curves": curves.of(index.vectors_tier()).map(curve).collect::<Vec<_>>(),
        })
    });
    let attributes: Vec<Value> = served
        .attributes
        .iter()
        .map(|of| json!({ "name": of.name, "type": of.kind.name(), "values": of.values, "nulls": of.nulls }))
        .collect();
    let memory: Map<String, Value> =
        served.memory().into_iter().map(|(part, bytes)| (part.to_owned(), bytes.into())).collect();
    json!({
        "name": served.config.name,
        "version": served.version().number,
        "uuid": &*served.version().uuid,
        "vectors": index.vectors(),
        "dim": index.query_shape().dim,
        "dtype": index.query_shape().dtype.to_string(),
        "metric": index.metric().to_string(),
        "code": index.code().to_string(),
        "lists": index.lists(),
        "codes_tier": index.codes_tier().to_string(),
        "vectors_tier": index.vectors_tier().to_string(),
        "estimates": index.has_ids(),
        "memory_bytes": memory,
        "disk_bytes": index.manifest().index_bytes(),
        "open_seconds": served.opening_time.as_secs_f64(),
        "served_seconds": served.opened.elapsed().as_secs_f64(),
        "quarantined": damage.len(),
        "damage": damage.iter().take(DAMAGE_TOLD).map(|part| part.part.to_string()).collect::<Vec<_>>(),
        "in_flight": served.admission.in_flight(),
        "queue_delay_seconds": served.admission.delay(served.engine()).as_secs_f64(),
        "recall": recall,
        "calibration": calibration,
        "attributes": attributes,
        "counts": counts,
        "stages": stages,
    })
}
