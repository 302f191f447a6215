//! Connections of the second port: bounded in number and in time, like those of gRPC.
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use tower::ServiceExt as _;

use crate::connections::accept;
use crate::ledger::{Connection, Ledger};

/// Connections at once.
pub(crate) const CONNECTIONS: usize = 64;
/// Time for the headers of a request, from the answer before.
const HEADERS_TIME: Duration = Duration::from_secs(10);
/// Time until a connection takes no further request, and from then until it is dropped.
const AGE: Duration = Duration::from_secs(60);
const REST: Duration = Duration::from_secs(10);

/// Serves pages until the task is aborted.
pub(crate) async fn serve(listener: TcpListener, pages: Router, ledger: Arc<Ledger>) {
    let serve = |stream, peer| http(stream, peer, pages.clone(), Arc::clone(&ledger));
    accept(listener, || CONNECTIONS, Arc::clone(&ledger), serve).await;
}

async fn http(stream: TcpStream, peer: SocketAddr, pages: Router, ledger: Arc<Ledger>) {
    let connection = Connection::new(ledger, peer);
    let pages = pages.map_request(move |request: hyper::Request<hyper::body::Incoming>| {
        let mut request: Request = request.map(Body::new);
        request.extensions_mut().insert(Arc::clone(&connection));
        request
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEADERS_TIME);
    let serving = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(pages));
    let mut serving = std::pin::pin!(serving);
    tokio::select! {
        // How a connection ends says nothing about the server.
        _ = serving.as_mut() => return,
        () = sleep(AGE) => {}
    }
    serving.as_mut().graceful_shutdown();
    drop(timeout(REST, serving).await);
}
