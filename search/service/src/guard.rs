//! What every call passes on its way in: its token, its entry in the ledger, a request id.
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{HeaderMap, Request, Response};
use tonic::codegen::BoxFuture;
use tonic::service::Routes;
use tonic::{Code, Status, body::Body};
use tower::Service;
use tracing::Instrument as _;

use crate::descriptors::Shares;
use crate::ledger::{Connection, Entry, Incoming, Ledger, LetIn, Outgoing};
use crate::limits::Limits;
use crate::method::Method;
use crate::metrics::Metrics;
use crate::refusal::{Refusal, of_request};
use crate::request_id::{REQUEST_ID, RequestIds};
use crate::stopping::Stopping;
use crate::tokens::{Caller, Credentials, Denied, Pass, Tokens};
use crate::wire::Grpc;

/// What guards of all connections share.
pub(crate) struct Shared {
    pub(crate) tokens: Tokens,
    pub(crate) stopping: Stopping,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) limits: Limits,
    pub(crate) request_ids: RequestIds,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) descriptors: Arc<Shares>,
}

/// The services behind their guard. One per connection.
#[derive(Clone)]
pub(crate) struct Guard {
    pub(crate) shared: Arc<Shared>,
    /// Answers searches; other services are behind `routes`.
    pub(crate) search: Grpc,
    pub(crate) routes: Routes,
    pub(crate) connection: Arc<Connection>,
}

impl Guard {
    /// Lets a call in: its caller, where it needs one.
    fn let_in(
        &self,
        entry: &Entry,
        pass: Option<Pass>,
        checked: Result<Option<Caller>, Denied>,
        headers: &HeaderMap,
    ) -> Result<Option<Caller>, Refusal> {
        let caller = checked.inspect_err(|denied| entry.turned_away(denied))?;
        entry.admit(headers)?;
        if let (Some(pass), Some(caller)) = (pass, &caller) {
            let _work = (!entry.method.is_small()).then(|| self.shared.stopping.work());
            entry.let_in(LetIn { caller: Arc::clone(&caller.name), pass, _work });
        }
        Ok(caller)
    }
}

impl Service<Request<hyper::body::Incoming>> for Guard {
    type Response = Response<Outgoing>;
    type Error = std::convert::Infallible;
    type Future = BoxFuture<Self::Response, Self::Error>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<hyper::body::Incoming>) -> Self::Future {
        let method = Method::of(request.uri().path());
        let pass = method.scope().map(|needed| Pass {
            tokens: self.shared.tokens.clone(),
            shown: Credentials {
                header: request.headers().get(http::header::AUTHORIZATION).cloned(),
                certificate: self.connection.peer.certificate.clone(),
            },
            needed,
        });
        let checked = pass.as_ref().map(Pass::check).transpose();
        let entry = Entry::open(&self.connection, method, request.headers(), checked.is_ok());
        let admitted = self.let_in(&entry, pass, checked, request.headers());
        let id = self.shared.request_ids.of(request.headers());
        let span = tracing::info_span!("call", method = method.name(), id = id.to_str().unwrap_or_default());
        #[cfg(feature = "otel")]
        crate::trace_parent::join(&span, request.headers());
        let answering = admitted.map(|caller| -> BoxFuture<Response<Body>, Self::Error> {
            let mut request = request.map(|body| Incoming::new(body, Arc::clone(&entry)));
            if method.is_search() {
                // The router would look up a method that is already known.
                return self.search.of(&entry).call(request);
            }
            request.extensions_mut().insert(Arc::clone(&entry));
            if let Some(caller) = caller {
                request.extensions_mut().insert(caller);
            }
            Box::pin(self.routes.call(request))
        });
        let answered = async move {
            let mut response = match answering {
                Ok(answering) => match entry.within(answering).await {
                    Ok(Ok(response)) => response,
                    Ok(Err(never)) => match never {},
                    Err(refusal) => Status::from(refusal).into_http::<Body>(),
                },
                Err(refusal) => Status::from(refusal).into_http(),
            };
            if !method.keeps_request() {
                entry.give_request(0);
            }
            if let Some(code) = response.headers().get(Status::GRPC_STATUS) {
                let mut code = Code::from_bytes(code.as_bytes());
                if code == Code::Internal
                    && let Some(status) = Status::from_header_map(response.headers()).map(of_request)
                {
                    code = status.code();
                    response = status.into_http();
                }
                entry.count(code);
            }
            response.headers_mut().insert(REQUEST_ID, id);
            Ok(response.map(|body| Outgoing::new(body, entry)))
        };
        Box::pin(answered.instrument(span))
    }
}
