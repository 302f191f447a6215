//! The status page and what it asks for.
use std::net::SocketAddr;

use axum::extract::{Query, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::{Json, Router, middleware};
use serde::{Deserialize, Serialize};
use tonic::Code;

use super::Observed;
use crate::admin::memory;
use crate::convert;
use crate::deadline::Call;
use crate::refusal::Refusal;
use crate::tokens::Scope;

const HTML: &str = include_str!("page.html");
const CSS: &str = include_str!("page.css");
const JS: &str = include_str!("page.js");
/// Nothing but what this server gives, and nobody may frame it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; frame-ancestors 'none'; \
                      base-uri 'none'; form-action 'none'";
/// Most neighbours that the page asks for.
const K_MAX: u32 = 100;

/// The page's addresses.
pub(super) fn router(observed: Observed) -> Router {
    let file = |kind: &'static str, text: &'static str| {
        let headers = [
            (header::CONTENT_TYPE, kind),
            (header::CONTENT_SECURITY_POLICY, POLICY),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (header::CACHE_CONTROL, "no-cache"),
        ];
        axum::routing::get(move || async move { (headers, text) })
    };
    Router::new()
        .route("/", file("text/html; charset=utf-8", HTML))
        .route("/page.css", file("text/css; charset=utf-8", CSS))
        .route("/page.js", file("text/javascript; charset=utf-8", JS))
        .route("/api/indexes", axum::routing::get(indexes))
        .route("/api/search", axum::routing::get(search))
        .layer(middleware::from_fn_with_state(observed.listen, refuse_other_hosts))
        .with_state(observed)
}

/// A page of another site whose name points here, by accident or on purpose, must not read what only this machine may:
/// on loopback the host has to be called that.
async fn refuse_other_hosts(State(listen): State<SocketAddr>, request: Request, next: Next) -> Response {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let name = host.strip_suffix(&format!(":{}", listen.port())).unwrap_or(host);
    if listen.ip().is_loopback() && !matches!(name, "localhost" | "127.0.0.1" | "[::1]") {
        let text = format!("'{}' is not this host; ask for 127.0.0.1\n", host.escape_default());
        return (StatusCode::FORBIDDEN, text).into_response();
    }
    next.run(request).await
}

#[derive(Serialize)]
struct Described {
    stopping: bool,
    needs_token: bool,
    indexes: Vec<DescribedIndex>,
}

#[derive(Serialize)]
struct DescribedIndex {
    name: String,
    version: u64,
    vectors: u64,
    dim: usize,
    dtype: String,
    metric: String,
    code: String,
    codes: String,
    vectors_in: String,
    memory_bytes: u64,
    disk_bytes: u64,
    quarantined: usize,
}

async fn indexes(State(observed): State<Observed>) -> Json<Described> {
    let searcher = &observed.searcher;
    let all = searcher.registry.all();
    let described = all.iter().map(|served| {
        let index = served.index();
        DescribedIndex {
            name: served.config.name.clone(),
            version: served.version(),
            vectors: index.vectors(),
            dim: index.dim(),
            dtype: index.dtype().to_string(),
            metric: index.metric().to_string(),
            code: index.code().to_string(),
            codes: index.codes_tier().to_string(),
            vectors_in: index.vectors_tier().to_string(),
            memory_bytes: memory(served).iter().map(|(_, bytes)| bytes).sum(),
            disk_bytes: index.manifest().index_bytes(),
            quarantined: served.engine().damage().len(),
        }
    });
    let indexes = described.collect();
    Json(Described {
        stopping: searcher.stopping.is_asked(),
        needs_token: !observed.tokens.is_empty(),
        indexes,
    })
}

#[derive(Deserialize)]
struct Asked {
    #[serde(default)]
    index: String,
    id: u64,
    k: u32,
}

#[derive(Serialize)]
struct Found {
    /// As text: numbers of a page's script hold 53 bits.
    ids: Vec<String>,
    distances: Vec<f32>,
    partial: bool,
    work: FoundWork,
}

#[derive(Serialize)]
struct FoundWork {
    search_us: f32,
    lists: u32,
    codes: u64,
    reranked: u32,
    reads: u32,
    pages: u32,
}

#[derive(Serialize)]
struct Failed {
    error: String,
}

fn failed(status: StatusCode, error: impl Into<String>) -> Response {
    (status, Json(Failed { error: error.into() })).into_response()
}

/// Searches for the neighbours of a vector of the index.
async fn search(
    State(observed): State<Observed>,
    headers: HeaderMap,
    asked: Result<Query<Asked>, axum::extract::rejection::QueryRejection>,
) -> Response {
    let header = headers.get(header::AUTHORIZATION).map(|value| value.as_bytes());
    if let Err(status) = observed.tokens.check(header, Scope::Search) {
        return failed(StatusCode::UNAUTHORIZED, status.message());
    }
    let asked = match asked {
        Ok(Query(asked)) if asked.k <= K_MAX => asked,
        Ok(_) => return failed(StatusCode::BAD_REQUEST, format!("k is more than {K_MAX}")),
        Err(error) => return failed(StatusCode::BAD_REQUEST, error.body_text()),
    };
    match by_id(&observed, asked).await {
        Ok(found) => Json(found).into_response(),
        Err(refusal) => {
            let status = match refusal.code() {
                Code::InvalidArgument => StatusCode::BAD_REQUEST,
                Code::NotFound => StatusCode::NOT_FOUND,
                Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
                Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
                Code::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
                _ => StatusCode::INTERNAL_SERVER_ERROR,
            };
            failed(status, refusal.to_string())
        }
    }
}

async fn by_id(observed: &Observed, asked: Asked) -> Result<Found, Refusal> {
    let searcher = &observed.searcher;
    let _work = searcher.stopping.work();
    let served = searcher.registry.get(&asked.index)?;
    let (vector, found) = searcher.fetched(&served, vec![asked.id]).await?;
    if found != [true] {
        return Err(Refusal::NoVector { id: asked.id });
    }
    let request = spandrel_proto::v1::SearchRequest {
        index: asked.index,
        query: Some(convert::vectors(served.index().dtype(), vector)),
        k: asked.k,
        options: Some(spandrel_proto::v1::SearchOptions { with_work: true, ..Default::default() }),
    };
    let answer = searcher.one(request, Call::within(searcher.limits.request)).await?;
    let work = answer.work.unwrap_or_default();
    Ok(Found {
        ids: answer.ids.iter().map(u64::to_string).collect(),
        distances: answer.distances,
        partial: answer.partial,
        work: FoundWork {
            search_us: work.search_us,
            lists: work.lists,
            codes: work.codes,
            reranked: work.reranked,
            reads: work.reads,
            pages: work.pages,
        },
    })
}
