//! The second port, plain HTTP: metrics for Prometheus, whether the server is up, and a page for people.
//!
//! What is counted may be read by whoever reaches the port. Searching asks for the same tokens as gRPC does, is let in
//! and bounded like it, and cannot be made use of by pages from elsewhere.
mod by_id;
mod exposition;
mod indexes;
mod observed;
mod origin;
mod page;
mod port;
mod status;

use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};

pub(crate) use indexes::Indexes;
pub(crate) use observed::Observed;
pub(crate) use port::{CONNECTIONS, serve};

use self::by_id::Failure;
use crate::registry::Loading;

/// The pages of the second port.
pub(crate) fn router(observed: Observed) -> Router {
    Router::new()
        .route("/", get(page::page))
        .route("/api/status", get(status::status))
        .route("/api/search", get(by_id::search))
        .layer(from_fn_with_state(observed.is_local, origin::check))
        .layer(Extension(page::Page::new()))
        .route("/metrics", get(exposition::metrics))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .fallback(|| async {
            Failure::new(StatusCode::NOT_FOUND, "no such page; there are /, /metrics, /healthz and /readyz")
        })
        .method_not_allowed_fallback(|| async {
            Failure::new(StatusCode::METHOD_NOT_ALLOWED, "only GET is supported")
        })
        .layer(from_fn(headers))
        .with_state(observed)
}

/// What every answer tells browsers.
async fn headers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert("cross-origin-resource-policy", HeaderValue::from_static("same-origin"));
    response
}

async fn healthz(State(observed): State<Observed>) -> impl IntoResponse {
    match observed.stopping.is_asked() {
        false => (StatusCode::OK, "serving\n"),
        true => (StatusCode::SERVICE_UNAVAILABLE, "stopping\n"),
    }
}

/// Whether calls are answered: not yet while indexes load, and not for long once the server is to stop.
async fn readyz(State(observed): State<Observed>) -> (StatusCode, String) {
    let Observed { stopping, registry, .. } = &observed;
    let not_ready = |text: String| (StatusCode::SERVICE_UNAVAILABLE, text);
    match registry.loading() {
        _ if stopping.is_draining() => not_ready("stopping\n".to_owned()),
        Some(Loading { done, of }) => not_ready(format!("loading {done} of {of}\n")),
        None => (StatusCode::OK, "ready\n".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use super::*;
    use crate::admission::AdmissionConfig;
    use crate::descriptors::Shares;
    use crate::method::Method;
    use crate::metrics::Metrics;
    use crate::registry::Registry;
    use crate::served::Opening;

    /// All that `/metrics` tells of a server that has counted something and serves no index.
    fn told() -> String {
        let mut counts = prometheus_client::registry::Registry::with_prefix("spandrel");
        let metrics = Metrics::new(&mut counts);
        metrics.answered_in(Method::Search, 0.001);
        metrics.ended(Method::Search, tonic::Code::Ok);
        drop(metrics.index("an index"));
        let executor = spandrel_engine::Executor::new(spandrel_engine::EngineConfig::default()).unwrap();
        let admission = AdmissionConfig::default();
        let opening = Opening {
            executor,
            admission,
            metrics,
            measures_recall: true,
            corrects_recall: false,
            descriptors: Arc::new(Shares::new(1000, 0, 10)),
            filter_bytes: 1 << 20,
        };
        let health = crate::health::Health::new(tonic_health::server::health_reporter().0);
        counts.register_collector(Box::new(Indexes(Arc::new(Registry::new(
            opening,
            Vec::new(),
            None,
            health,
        )))));
        counts.register_collector(Box::new(crate::descriptors::Descriptors));
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &counts).unwrap();
        text
    }

    /// Names as queries write them, from the `# TYPE` lines.
    fn names(text: &str) -> BTreeSet<String> {
        let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
        let names = types.flat_map(|(name, kind)| {
            let ends: &[&str] = match kind {
                "counter" => &["_total"],
                "histogram" => &["_bucket", "_sum", "_count"],
                "gauge" => &[""],
                other => panic!("{name} is a {other}"),
            };
            ends.iter().map(move |end| format!("{name}{end}"))
        });
        names.collect()
    }

    #[test]
    fn metrics_are_named_and_told_in_the_manner_of_prometheus() {
        let text = told();
        for name in names(&text) {
            let is_lower = name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
            assert!(name.starts_with("spandrel_") && is_lower && !name.contains("_total_total"), "{name}");
        }
        let helps = text.lines().filter(|line| line.starts_with("# HELP")).count();
        let types = text.lines().filter(|line| line.starts_with("# TYPE")).count();
        assert!(helps == types && types > 20, "{helps} texts for {types} metrics");
        for label in
            ["method=\"Search\"", "code=\"OK\"", "stage=\"probe\"", "index=\"an index\"", "le=\"+Inf\""]
        {
            assert!(text.contains(label), "{label} in {text}");
        }
    }

    #[test]
    fn the_dashboard_asks_for_what_there_is() {
        let told = names(&told());
        let dashboard: serde_json::Value =
            serde_json::from_str(include_str!("../../grafana-dashboard.json")).unwrap();
        let panels = dashboard["panels"].as_array().unwrap();
        let of_panels = panels.iter().flat_map(|panel| panel["targets"].as_array().unwrap());
        let mut queries: Vec<&str> = of_panels.map(|target| target["expr"].as_str().unwrap()).collect();
        let variables = dashboard["templating"]["list"].as_array().unwrap();
        queries.extend(variables.iter().filter_map(|variable| variable["query"]["query"].as_str()));
        let mut asked = BTreeSet::new();
        for query in queries {
            let words = query.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
            let found: Vec<&str> = words.filter(|word| word.starts_with("spandrel_")).collect();
            assert!(!found.is_empty(), "{query}");
            asked.extend(found.into_iter().map(str::to_owned));
        }
        let missing: Vec<&String> = asked.difference(&told).collect();
        assert!(missing.is_empty(), "{missing:?} of {told:?}");
        // A counter, a gauge or a histogram that no panel shows was forgotten.
        let is_shown = |name: &str| {
            let family = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
            asked.iter().any(|asked| asked == name || family.is_some_and(|family| asked.starts_with(family)))
        };
        let forgotten: Vec<&String> = told.iter().filter(|name| !is_shown(name)).collect();
        assert!(forgotten.is_empty(), "{forgotten:?}");
    }

    /// The page for operators names metrics as they are, also in its alerts.
    #[test]
    fn the_documented_metrics_exist() {
        let told = names(&told());
        let page = include_str!("../../../../docs/operating.md");
        let words = page.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        let named: BTreeSet<&str> = words.filter(|word| word.starts_with("spandrel_")).collect();
        // A histogram is named without the ends of its series.
        let exists = |name: &&str| told.contains(*name) || told.contains(&format!("{name}_bucket"));
        let missing: Vec<&&str> = named.iter().filter(|name| !exists(name)).collect();
        assert!(missing.is_empty() && named.len() > 20, "{missing:?} of {told:?}");
    }
}
