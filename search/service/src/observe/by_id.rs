//! `/api/search?index=NAME&id=N&k=10&filter=TEXT`: searches with a vector of the index itself.
//!
//! An answer holds ids as strings, since JSON's readers round numbers over 2^53. What is refused has the body
//! `{"error": TEXT}`.
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use spandrel_engine::{Duplicates, SearchParams};
use tonic::{Code, Status};

use super::observed::{Observed, json};
use crate::ask::{Ask, AskFilter, FilterForm, Form, Found, Target};
use crate::call::Call;
use crate::ledger::{Connection, Entry};
use crate::method::Method;
use crate::metrics::queue_us;
use crate::refusal::Refusal;
use crate::tokens::{Credentials, Scope};

/// Neighbours where the address does not say.
const K_DEFAULT: u32 = 10;

/// An answer without what was asked for.
#[derive(Debug)]
pub(super) struct Failure {
    status: StatusCode,
    message: String,
    retry_after: Option<Duration>,
    code: Code,
}

impl Failure {
    pub(super) fn new(status: StatusCode, message: impl Into<String>) -> Failure {
        Failure { status, message: message.into(), retry_after: None, code: Code::InvalidArgument }
    }
}

/// The HTTP status of a gRPC code.
fn http_status(code: Code) -> StatusCode {
    match code {
        Code::InvalidArgument | Code::FailedPrecondition => StatusCode::BAD_REQUEST,
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Code::PermissionDenied => StatusCode::FORBIDDEN,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Code::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Failure {
        let retry_after = refusal.retry_after();
        Failure { retry_after, ..Failure::from(Status::from(refusal)) }
    }
}

impl From<Status> for Failure {
    fn from(status: Status) -> Failure {
        let (http, message) = (http_status(status.code()), status.message().to_owned());
        Failure { status: http, message, retry_after: None, code: status.code() }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut response = json(self.status, &json!({ "error": self.message }));
        if let Some(after) = self.retry_after {
            let seconds = after.as_secs_f64().ceil() as u64; // CAST: seconds
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

pub(super) async fn search(
    State(observed): State<Observed>,
    Extension(connection): Extension<Arc<Connection>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let entry = Entry::open(&connection, Method::SearchById, &headers, true);
    let answering = answer(&observed, query.as_deref().unwrap_or_default(), &headers, &entry);
    let answered = entry.within(answering).await.unwrap_or_else(|refusal| Err(refusal.into()));
    entry.count(answered.as_ref().map_or_else(|failure| failure.code, |_| Code::Ok));
    match answered {
        Ok(value) => json(StatusCode::OK, &value),
        Err(failure) => failure.into_response(),
    }
}

async fn answer(
    observed: &Observed,
    query: &str,
    headers: &HeaderMap,
    entry: &Entry,
) -> Result<Value, Failure> {
    entry.admit(headers)?;
    if observed.certificates {
        let text = "the server asks for client certificates, and this port takes none; search over gRPC";
        return Err(Status::permission_denied(text).into());
    }
    let credentials = Credentials { header: headers.get(header::AUTHORIZATION).cloned(), certificate: None };
    let checked = observed.tokens.check(&credentials, Scope::Search);
    checked.inspect_err(|denied| entry.turned_away(denied)).map_err(Refusal::from)?;
    let ById { index, id, k, filter } = asked(query)?;
    if observed.stopping.is_asked() {
        return Err(Refusal::Stopping.into());
    }
    let _work = observed.stopping.work();
    let ask = Ask {
        index,
        indexes: Vec::new(),
        duplicates: Duplicates::default(),
        target: Target::Ids(vec![id]),
        column: None,
        form: Form::One,
        params: SearchParams { times: true, ..SearchParams::new(k as usize) }, // CAST: widening
        filter: filter.map(|text| {
            let (bytes, form) = (text.len(), FilterForm::Text(text));
            Arc::new(AskFilter { field: "filter", bytes, form })
        }),
        embedding_version: None,
        attributes: None,
        with_vectors: false,
        with_work: true,
        attention_scale: None,
    };
    let found = observed.searcher.search(ask, Call::of(entry)).await?;
    Ok(shown(&found))
}

/// What an address asks for.
#[derive(Debug, PartialEq)]
struct ById {
    index: String,
    id: u64,
    k: u32,
    filter: Option<String>,
}

/// Reads the part of an address behind its `?`.
fn asked(query: &str) -> Result<ById, Refusal> {
    let (mut index, mut id, mut k, mut filter) = (None, None, None, None);
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let slot = match key {
            "index" => &mut index,
            "id" => &mut id,
            "k" => &mut k,
            "filter" => &mut filter,
            _ => return Err(Refusal::field("address", "unknown key, expected index, id, k and filter")),
        };
        if slot.replace(unescaped(value)?).is_some() {
            return Err(Refusal::field("address", format!("{key} is given twice")));
        }
    }
    let wrong = |field| Refusal::field(field, "expected a whole number");
    let id = id.ok_or_else(|| Refusal::field("id", "not set"))?.parse().map_err(|_| wrong("id"))?;
    let k = k.map_or(Ok(K_DEFAULT), |k| k.parse()).map_err(|_| wrong("k"))?;
    Ok(ById { index: index.unwrap_or_default(), id, k, filter })
}

/// A value as forms write it: `+` is a space, `%` stands before a byte in two hexadecimal digits.
fn unescaped(value: &str) -> Result<String, Refusal> {
    let wrong = || Refusal::field("address", "expected escapes of UTF-8, such as %3D for =");
    let (mut text, mut rest) = (Vec::with_capacity(value.len()), value.as_bytes());
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        text.push(match byte {
            b'+' => b' ',
            b'%' => {
                let (digits, after) = rest.split_at_checked(2).ok_or_else(wrong)?;
                rest = after;
                let digit = |digit: u8| char::from(digit).to_digit(16).ok_or_else(wrong);
                (digit(digits[0])? << 4 | digit(digits[1])?) as u8 // CAST: two digits
            }
            byte => byte,
        });
    }
    String::from_utf8(text).map_err(|_| wrong())
}

/// The number of the fewest digits that stands for this one: as a number of 64 bits it would have more.
fn short(number: f32) -> f64 {
    number.to_string().parse().unwrap_or(f64::NAN)
}

fn shown(found: &Found<'_>) -> Value {
    let none = Default::default();
    let answer = found.answers.first().unwrap_or(&none);
    let neighbours: Vec<Value> = answer
        .neighbours
        .iter()
        .map(|n| json!({ "id": n.id.to_string(), "distance": short(n.distance), "estimated": n.estimated }))
        .collect();
    let missing = answer.missing;
    let missing = (missing.parts() > 0).then(|| json!({ "lists": missing.lists, "pages": missing.pages }));
    let effort = found
        .effort(0)
        .map(|effort| json!({ "asked_lists": effort.asked_lists, "searched_lists": effort.searched_lists }));
    let (work, stages) = (&answer.work, answer.stages.unwrap_or_default());
    json!({
        "index_version": found.version.number,
        "index_uuid": &*found.version.uuid,
        "neighbours": neighbours,
        "missing": missing,
        "effort": effort,
        "matches": answer.filtered.map(|filtered| filtered.matches),
        "limited_by": answer.limited_by.map(|limit| limit.name()),
        "work": {
            "lists": work.lists,
            "reads": work.reads,
            "pages": work.pages,
            "cache_hits": work.cache_hits,
            "rounds": work.rounds,
            "read_bytes": work.read_bytes,
            "codes": work.vectors_scanned,
            "reranked": work.reranked,
            "head_distances": work.head_distances,
        },
        "times_us": {
            "queue": short(queue_us(answer, found.arrival)),
            "search": short(answer.latency_us),
            "probe": short(stages.probe_us),
            "scan": short(stages.scan_us),
            "plan": short(stages.plan_us),
            "wait": short(stages.wait_us),
            "verify": short(stages.verify_us),
            "rerank": short(stages.rerank_us),
        },
    })
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    #[test]
    fn addresses_are_read_or_refused() {
        let least = ById { index: String::new(), id: 7, k: 10, filter: None };
        assert_eq!(asked("id=7").unwrap(), least);
        let most = asked("k=3&index=a.b-c_D&id=18446744073709551615&filter=a+%3D+%22%C3%a9%2B%22").unwrap();
        let filter = Some("a = \"é+\"".to_owned());
        assert_eq!(most, ById { index: "a.b-c_D".to_owned(), id: u64::MAX, k: 3, filter });
        for (bad, field) in [
            ("", "id"),
            ("id=", "id"),
            ("id=-1", "id"),
            ("id=1.5", "id"),
            ("id=18446744073709551616", "id"),
            ("id=1&k=x", "k"),
            ("id=1&id=2", "address"),
            ("id=1&depth=3", "address"),
            ("id=1&filter=%", "address"),
            ("id=1&filter=%4", "address"),
            ("id=1&filter=%+4", "address"),
            ("id=1&filter=%ff", "address"),
        ] {
            let refusal = asked(bad).unwrap_err();
            assert!(
                matches!(refusal, Refusal::Field { field: found, .. } if found == field),
                "{bad}: {refusal}"
            );
        }
    }

    #[test]
    fn hostile_addresses_are_read_or_refused() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let parts = [
            "id",
            "k",
            "index",
            "=",
            "&",
            "1",
            "-",
            "18446744073709551615",
            "%00",
            "%c3",
            "filter",
            "\u{fffd}",
            "é",
            "?",
            " ",
        ];
        let (mut read, mut refused) = (0, 0);
        for _ in 0..50_000 {
            let count = rng.random_range(0..8);
            let rest: String = (0..count).map(|_| parts[rng.random_range(0..parts.len())]).collect();
            let query = if rng.random() { format!("id=1&{rest}") } else { rest };
            match asked(&query) {
                Ok(ById { id, filter, .. }) => {
                    assert!(query.contains(&format!("id={id}")), "{query}");
                    assert!(filter.is_none() || query.contains("filter"), "{query}");
                    read += 1;
                }
                Err(refusal) => {
                    assert!(matches!(refusal, Refusal::Field { .. }), "{query}: {refusal}");
                    refused += 1;
                }
            }
        }
        assert!(read > 50 && refused > 1000, "{read} read, {refused} refused");
    }

    #[test]
    fn refusals_keep_their_meaning_in_http() {
        let status = |refusal: Refusal| Failure::from(refusal).into_response();
        let loaded = status(Refusal::Overloaded { waiting_ms: 90, retry_ms: 40 });
        assert_eq!(loaded.status(), StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(loaded.headers()[header::RETRY_AFTER], "1");
        let limit = Refusal::limit("k", 2000, 1000);
        assert_eq!(status(limit).status(), StatusCode::BAD_REQUEST);
        assert_eq!(status(Refusal::Stopping).status(), StatusCode::SERVICE_UNAVAILABLE);
        let unknown = Failure::from(Status::unauthenticated("unknown token")).into_response();
        assert_eq!(unknown.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(unknown.headers()[header::WWW_AUTHENTICATE], "Bearer");
    }
}
