//! `/`: one page with its style and script in it, which asks `/api/status` and `/api/search` and nothing else.
use std::sync::Arc;

use axum::Extension;
use axum::http::{HeaderValue, header};
use axum::response::{Html, IntoResponse};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ring::digest::{SHA256, digest};

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = concat!(include_str!("chart.js"), include_str!("rates.js"), include_str!("page.js"));

/// The page, and what a browser may load for it: its own style and script, known by their hashes, and answers of this
/// server.
#[derive(Debug, Clone)]
pub(super) struct Page {
    html: Arc<str>,
    policy: HeaderValue,
}

impl Page {
    pub(super) fn new() -> Page {
        let html =
            include_str!("page.html").replace("/* page.css */", STYLE).replace("/* page.js */", SCRIPT);
        let hash = |text: &str| BASE64_STANDARD.encode(digest(&SHA256, text.as_bytes()));
        let policy = format!(
            "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; connect-src 'self'; img-src data:; \
             base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
            hash(STYLE),
            hash(SCRIPT)
        );
        let Ok(policy) = HeaderValue::from_str(&policy) else { unreachable!("letters, digits and signs") };
        Page { html: Arc::from(html), policy }
    }
}

pub(super) async fn page(Extension(Page { html, policy }): Extension<Page>) -> impl IntoResponse {
    ([(header::CONTENT_SECURITY_POLICY, policy)], Html(html.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_holds_its_parts_and_nothing_from_elsewhere() {
        let Page { html, policy } = Page::new();
        assert!(html.contains(&format!("<style>{STYLE}</style>")));
        assert!(html.contains(&format!("<script>{SCRIPT}</script>")));
        assert!(!SCRIPT.contains("innerHTML") && !SCRIPT.contains("</script"), "data are only ever text");
        // The one address is the name of SVG.
        let addresses = html.matches("//").count() - html.matches("http://www.w3.org/2000/svg").count();
        let comments = html.lines().filter(|line| line.trim_start().starts_with("// ")).count();
        assert_eq!(addresses, comments, "something from elsewhere");
        assert!(!policy.to_str().unwrap().contains("unsafe"));
    }
}
