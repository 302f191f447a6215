//! Keeps pages of other origins from asking through a user's browser.
//!
//! No answer carries CORS headers, so that none can be read by another origin. Against a name of the attacker's that
//! was made to point here (DNS rebinding), a port on loopback answers requests for names of this machine only; and what
//! a browser says to come from another site is refused.
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::by_id::Failure;

/// Lets through what comes from the page itself, or from no page at all.
pub(super) async fn check(State(is_local): State<bool>, request: Request, next: Next) -> Response {
    match refused(is_local, request.headers()) {
        None => next.run(request).await,
        Some(why) => Failure::new(StatusCode::FORBIDDEN, why).into_response(),
    }
}

fn refused(is_local: bool, headers: &HeaderMap) -> Option<&'static str> {
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    let host = text(header::HOST).unwrap_or_default();
    if is_local && !names_this_machine(host) {
        return Some("this port answers requests for localhost only; ask by that name or by address");
    }
    let site = text(header::HeaderName::from_static("sec-fetch-site"));
    let is_same_site = site.is_none_or(|site| matches!(site, "same-origin" | "none"));
    let origin = text(header::ORIGIN);
    let is_same_origin = origin.is_none_or(|origin| origin.strip_prefix("http://") == Some(host));
    (!is_same_site || !is_same_origin).then_some("asked by a page from elsewhere")
}

/// Whether `host`, with or without a port, is `localhost` or an address of the loopback.
fn names_this_machine(host: &str) -> bool {
    if let Some(rest) = host.strip_prefix('[') {
        return rest.split_once(']').is_some_and(|(address, _)| is_loopback(address));
    }
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    name.eq_ignore_ascii_case("localhost") || is_loopback(name)
}

fn is_loopback(address: &str) -> bool {
    address.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_this_machine_are_known() {
        for host in ["localhost", "LOCALHOST:7701", "127.0.0.1:7701", "127.9.9.9", "[::1]:7701", "[::1]"] {
            assert!(names_this_machine(host), "{host}");
        }
        for host in [
            "",
            "evil.example",
            "localhost.evil.example:7701",
            "10.0.0.1:7701",
            "[::2]",
            "[::1",
            "127.0.0.1.evil",
        ] {
            assert!(!names_this_machine(host), "{host}");
        }
    }

    #[test]
    fn other_sites_are_refused() {
        let refused = |is_local, pairs: &[(&'static str, &'static str)]| {
            let pairs = pairs.iter().map(|(name, value)| {
                (header::HeaderName::from_static(name), header::HeaderValue::from_static(value))
            });
            refused(is_local, &pairs.collect()).is_some()
        };
        let (here, there) = (("host", "127.0.0.1:7701"), ("host", "search.example:7701"));
        assert!(!refused(true, &[here]));
        assert!(refused(true, &[there]));
        assert!(!refused(false, &[there]));
        assert!(!refused(
            true,
            &[here, ("sec-fetch-site", "same-origin"), ("origin", "http://127.0.0.1:7701")]
        ));
        assert!(refused(true, &[here, ("sec-fetch-site", "cross-site")]));
        assert!(refused(true, &[here, ("sec-fetch-site", "same-site")]));
        assert!(refused(false, &[there, ("origin", "http://evil.example")]));
        assert!(refused(false, &[there, ("origin", "null")]));
    }
}
