//! What every call passes on its way in: tokens, a bound on bytes, a request id, counting.
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::Bytes;
use http::{HeaderValue, Request, Response};
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use tonic::service::Routes;
use tonic::{Code, Status, body::Body};
use tower::Service;
use tracing::Instrument as _;

use crate::limits::Limits;
use crate::metrics::Metrics;
use crate::request_id::{REQUEST_ID, RequestIds};
use crate::tokens::{Scope, Tokens};

/// What guards of all connections share.
pub(crate) struct Shared {
    pub(crate) tokens: Tokens,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) limits: Limits,
    pub(crate) request_ids: RequestIds,
    /// Bytes of requests being received or answered.
    pub(crate) in_flight_bytes: Arc<AtomicUsize>,
}

/// The services behind their guard. One per connection.
#[derive(Clone)]
pub(crate) struct Guard {
    pub(crate) shared: Arc<Shared>,
    pub(crate) routes: Routes,
    /// Calls under way on the connection, and when the last one came or went.
    pub(crate) activity: Arc<Activity>,
}

/// What is going on on a connection.
#[derive(Debug)]
pub(crate) struct Activity {
    calls: AtomicUsize,
    since: std::sync::Mutex<Instant>,
}

impl Activity {
    pub(crate) fn new() -> Activity {
        Activity { calls: AtomicUsize::new(0), since: std::sync::Mutex::new(Instant::now()) }
    }

    /// When the last call came or went; none while there is one.
    pub(crate) fn idle_since(&self) -> Option<Instant> {
        (self.calls.load(Ordering::Acquire) == 0).then(|| *self.lock())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Instant> {
        self.since.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// A call under way.
struct Calling(Arc<Activity>);

impl Calling {
    fn new(activity: &Arc<Activity>) -> Calling {
        activity.calls.fetch_add(1, Ordering::AcqRel);
        Calling(Arc::clone(activity))
    }
}

impl Drop for Calling {
    fn drop(&mut self) {
        *self.0.lock() = Instant::now();
        self.0.calls.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Methods: their paths behind `/spandrel.v1.`, how metrics name them, and the scopes that they need.
pub(crate) const METHODS: [(&str, &str, Scope); 14] = [
    ("SearchService/Search", "Search", Scope::Search),
    ("SearchService/SearchBatch", "SearchBatch", Scope::Search),
    ("SearchService/SearchStream", "SearchStream", Scope::Search),
    ("SearchService/Fetch", "Fetch", Scope::Search),
    ("AdminService/ListIndexes", "ListIndexes", Scope::Search),
    ("AdminService/DescribeIndex", "DescribeIndex", Scope::Search),
    ("AdminService/LoadIndex", "LoadIndex", Scope::Admin),
    ("AdminService/UnloadIndex", "UnloadIndex", Scope::Admin),
    ("AdminService/SwitchIndex", "SwitchIndex", Scope::Admin),
    ("AdminService/Verify", "Verify", Scope::Admin),
    ("", HEALTH, Scope::Search),
    ("", REFLECTION, Scope::Search),
    ("", OTHER, Scope::Admin),
    ("", SEARCH_BY_ID, Scope::Search),
];
const HEALTH: &str = "health";
const REFLECTION: &str = "reflection";
const OTHER: &str = "other";
/// Of the status page, and the only one that does not come here.
pub(crate) const SEARCH_BY_ID: &str = "SearchById";

/// The method of a path, as metrics name it, and the scope that it needs.
fn method(path: &str) -> (&'static str, Scope) {
    if path.starts_with("/grpc.reflection.") {
        return (REFLECTION, Scope::Search);
    }
    let tail = path.strip_prefix("/spandrel.v1.").unwrap_or_default();
    let found = METHODS.iter().find(|(path, ..)| !path.is_empty() && *path == tail);
    found.map_or((OTHER, Scope::Admin), |&(_, method, scope)| (method, scope))
}

/// Load balancers ask for the health without a token.
fn is_open(path: &str) -> bool {
    path.starts_with("/grpc.health.v1.Health/")
}

impl Service<Request<Incoming>> for Guard {
    type Response = Response<Body>;
    type Error = std::convert::Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        let started = Instant::now();
        let path = request.uri().path();
        let (method, scope) = if is_open(path) { (HEALTH, Scope::Search) } else { method(path) };
        let header = request.headers().get(http::header::AUTHORIZATION).map(HeaderValue::as_bytes);
        let checked = if is_open(path) { Ok(()) } else { self.shared.tokens.check(header, scope) };
        let id = self.shared.request_ids.of(request.headers());
        let span = tracing::info_span!("call", method, id = id.to_str().unwrap_or_default());
        #[cfg(feature = "otel")]
        crate::trace_parent::join(&span, request.headers());
        let (shared, calling) = (Arc::clone(&self.shared), Calling::new(&self.activity));
        let taken = Arc::new(Taken::new(&shared));
        // What streams send is taken in one message at a time.
        let counted = (method != "SearchStream").then(|| Arc::clone(&taken));
        let answering = checked.map(|()| self.routes.call(request.map(|body| Counted { body, counted })));
        let answered = async move {
            let mut response = match answering {
                Ok(answering) => match answering.await {
                    Ok(response) => response,
                    Err(never) => match never {},
                },
                Err(status) => status.into_http(),
            };
            let code =
                response.headers().get("grpc-status").map_or(Code::Ok, |v| Code::from_bytes(v.as_bytes()));
            shared.metrics.called(method, code_name(code), started.elapsed().as_secs_f64());
            response.headers_mut().insert(REQUEST_ID, id);
            drop(taken);
            // The call goes on until all of its answers are out.
            Ok(response.map(|body| Body::new(Outgoing { body, _calling: calling })))
        };
        Box::pin(answered.instrument(span))
    }
}

/// A code's name as gRPC writes it.
pub(crate) fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

/// Bytes that one call takes of those allowed to all.
struct Taken {
    shared: Arc<Shared>,
    bytes: AtomicUsize,
}

impl Taken {
    fn new(shared: &Arc<Shared>) -> Taken {
        Taken { shared: Arc::clone(shared), bytes: AtomicUsize::new(0) }
    }

    fn take(&self, bytes: usize) -> Result<(), Status> {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        let all = self.shared.in_flight_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        self.shared.metrics.in_flight_bytes.inc_by(bytes as i64); // CAST: bytes in memory
        let limit = self.shared.limits.in_flight_bytes;
        if all <= limit {
            return Ok(());
        }
        let message =
            format!("requests under way take {all} bytes, the server's limit is {limit}; try again later");
        Err(Status::resource_exhausted(message))
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        let bytes = self.bytes.load(Ordering::Relaxed);
        self.shared.in_flight_bytes.fetch_sub(bytes, Ordering::Relaxed);
        self.shared.metrics.in_flight_bytes.dec_by(bytes as i64); // CAST: bytes in memory
    }
}

/// A request's body whose bytes are counted.
struct Counted {
    body: Incoming,
    counted: Option<Arc<Taken>>,
}

impl HttpBody for Counted {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let frame = match ready!(Pin::new(&mut self.body).poll_frame(context)) {
            None => return Poll::Ready(None),
            Some(Err(error)) => return Poll::Ready(Some(Err(Status::from_error(Box::new(error))))),
            Some(Ok(frame)) => frame,
        };
        let bytes = frame.data_ref().map_or(0, Bytes::len);
        let taken = self.counted.as_ref().map_or(Ok(()), |taken| taken.take(bytes));
        Poll::Ready(Some(taken.map(|()| frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// An answer's body, with which the call ends.
struct Outgoing {
    body: Body,
    _calling: Calling,
}

impl HttpBody for Outgoing {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
