//! What every call passes on its way in: its token, its entry in the ledger, a request id.
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{HeaderValue, Request, Response};
use tonic::service::Routes;
use tonic::{Status, body::Body};
use tower::Service;
use tracing::Instrument as _;

use crate::ledger::{Connection, Entry, Incoming, Ledger, Outgoing};
use crate::limits::Limits;
use crate::method::Method;
use crate::metrics::Metrics;
use crate::refusal::of_request;
use crate::request_id::{REQUEST_ID, RequestIds};
use crate::tokens::Tokens;

/// What guards of all connections share.
pub(crate) struct Shared {
    pub(crate) tokens: Tokens,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) limits: Limits,
    pub(crate) request_ids: RequestIds,
    pub(crate) ledger: Arc<Ledger>,
}

/// The services behind their guard. One per connection.
#[derive(Clone)]
pub(crate) struct Guard {
    pub(crate) shared: Arc<Shared>,
    pub(crate) routes: Routes,
    pub(crate) connection: Arc<Connection>,
}

impl Service<Request<hyper::body::Incoming>> for Guard {
    type Response = Response<Outgoing>;
    type Error = std::convert::Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Outgoing>, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<hyper::body::Incoming>) -> Self::Future {
        let method = Method::of(request.uri().path());
        let header = request.headers().get(http::header::AUTHORIZATION).map(HeaderValue::as_bytes);
        let checked = method.scope().map_or(Ok(()), |scope| self.shared.tokens.check(header, scope));
        let entry = Entry::open(&self.connection, method, request.headers(), checked.is_ok());
        let admitted = checked.and_then(|()| Ok(entry.admit(request.headers())?));
        let id = self.shared.request_ids.of(request.headers());
        let span = tracing::info_span!("call", method = method.name(), id = id.to_str().unwrap_or_default());
        #[cfg(feature = "otel")]
        crate::trace_parent::join(&span, request.headers());
        let answering = admitted.map(|()| {
            let mut request = request.map(|body| Incoming::new(body, Arc::clone(&entry)));
            request.extensions_mut().insert(Arc::clone(&entry));
            self.routes.call(request)
        });
        let answered = async move {
            let mut response = match answering {
                Ok(answering) => match entry.within(answering).await {
                    Ok(Ok(response)) => response,
                    Ok(Err(never)) => match never {},
                    Err(refusal) => Status::from(refusal).into_http::<Body>(),
                },
                Err(status) => status.into_http(),
            };
            // Answers of streams begin before their requests are complete.
            if !method.is_stream() {
                entry.give_request(0);
            }
            if let Some(status) = Status::from_header_map(response.headers()) {
                let status = of_request(status);
                entry.count(status.code());
                response = status.into_http();
            }
            response.headers_mut().insert(REQUEST_ID, id);
            Ok(response.map(|body| Outgoing::new(body, entry)))
        };
        Box::pin(answered.instrument(span))
    }
}
