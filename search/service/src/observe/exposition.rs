//! `/metrics` in the form that is asked for: OpenMetrics, or the text format of Prometheus, which is what most programs
//! mean that ask for none.
use std::fmt::Write as _;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse;

use super::Observed;

const OPENMETRICS: &str = "application/openmetrics-text";
const OPENMETRICS_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const TEXT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

pub(super) async fn metrics(State(observed): State<Observed>, headers: HeaderMap) -> impl IntoResponse {
    let mut text = String::new();
    // Writing to a string does not fail.
    let encoded = prometheus_client::encoding::text::encode(&mut text, &observed.counts);
    let status = if encoded.is_ok() { StatusCode::OK } else { StatusCode::INTERNAL_SERVER_ERROR };
    if prefers_openmetrics(&headers) {
        (status, [(header::CONTENT_TYPE, OPENMETRICS_TYPE)], text)
    } else {
        (status, [(header::CONTENT_TYPE, TEXT_TYPE)], as_text(&text))
    }
}

/// Whether OpenMetrics is named among what is accepted, and nothing that plain text is goes before it.
fn prefers_openmetrics(headers: &HeaderMap) -> bool {
    let mut best = (0.0, 0.0);
    for range in headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok()) {
        for range in range.split(',') {
            let mut parts = range.split(';').map(str::trim);
            let kind = parts.next().unwrap_or_default();
            let weight = parts.find_map(|part| part.strip_prefix("q=")?.parse::<f32>().ok()).unwrap_or(1.0);
            if kind.eq_ignore_ascii_case(OPENMETRICS) {
                best.0 = f32::max(best.0, weight);
            } else if kind.eq_ignore_ascii_case("text/plain") {
                best.1 = f32::max(best.1, weight);
            }
        }
    }
    best.0 > 0.0 && best.0 >= best.1
}

/// OpenMetrics in the text format: there a counter is described by the name of its samples, and units and the end are not
/// told.
fn as_text(openmetrics: &str) -> String {
    let mut text = String::with_capacity(openmetrics.len());
    // The help of a metric comes before its type.
    let mut help = None;
    for line in openmetrics.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            help = rest.split_once(' ');
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' '))
        {
            let end = if kind == "counter" { "_total" } else { "" };
            let kind = if kind == "unknown" { "untyped" } else { kind };
            if let Some((_, help)) = help.take_if(|(of, _)| *of == name) {
                let _ = writeln!(text, "# HELP {name}{end} {help}");
            }
            let _ = writeln!(text, "# TYPE {name}{end} {kind}");
        } else if !line.starts_with('#') {
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_is_described_by_the_name_of_its_samples() {
        let openmetrics = "# HELP a_calls Calls.\n# TYPE a_calls counter\na_calls_total{x=\"y\"} 3\n\
                           # HELP a_time_seconds Time.\n# TYPE a_time_seconds histogram\n\
                           # UNIT a_time_seconds seconds\na_time_seconds_sum 2.5\n# EOF\n";
        let text = "# HELP a_calls_total Calls.\n# TYPE a_calls_total counter\na_calls_total{x=\"y\"} 3\n\
                    # HELP a_time_seconds Time.\n# TYPE a_time_seconds histogram\na_time_seconds_sum 2.5\n";
        assert_eq!(as_text(openmetrics), text);
    }

    #[test]
    fn openmetrics_goes_to_those_who_name_it() {
        let prefers = |accept: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, accept.parse().unwrap());
            prefers_openmetrics(&headers)
        };
        // What Prometheus sends.
        assert!(prefers(
            "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.4,*/*;q=0.1"
        ));
        assert!(prefers("application/openmetrics-text"));
        for plain in ["*/*", "text/plain", "text/plain;version=0.0.4,application/openmetrics-text;q=0.5"] {
            assert!(!prefers(plain), "{plain}");
        }
        assert!(!prefers_openmetrics(&HeaderMap::new()));
    }
}
