//! Connections: accepted up to a number, ended when idle, old or unread, told to go when the server stops.
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::server::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use tokio_rustls::server::TlsStream;
use tonic::service::Routes;

use crate::guard::{Guard, Shared};
use crate::ledger::{Connection, End, Ledger};
use crate::limits::Limits;
use crate::peer::Peer;
use crate::stopping::Stopping;
use crate::throttle::Throttle;
use crate::tls::{HandshakeError, Tls, names_of};
use crate::wire::Grpc;

/// Bytes that a client may send ahead on one stream, and on one connection.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 2 << 20;
/// Calls that a client may give up before they were looked at, for each that it may have under way; a client that
/// exceeds this is treated as abusive and disconnected.
const RESETS_OF_STREAM: usize = 2;
/// A client that does not answer a ping is gone.
const PING_EVERY: Duration = Duration::from_secs(60);
const PING_TIMEOUT: Duration = Duration::from_secs(20);
/// Longest and shortest time between two looks at a connection's limits.
const LOOK_EVERY: [Duration; 2] = [Duration::from_millis(50), Duration::from_secs(5)];
/// Time for a connection without a call to close itself once it was asked to; after it, it is closed. Where a client may have sent a call
/// before it heard of that, and where it has made none so far or the server stops.
const CLOSING: Duration = Duration::from_secs(1);
const CLOSING_SOON: Duration = Duration::from_millis(100);
/// Time after a call in which the rest of its answer may be on its way.
pub(crate) const LAST_WRITES: Duration = Duration::from_secs(5);
/// What connections are served with.
pub(crate) struct Acceptor {
    pub(crate) shared: Arc<Shared>,
    pub(crate) search: Grpc,
    pub(crate) routes: Routes,
    pub(crate) tls: Option<Tls>,
    pub(crate) stopping: Stopping,
    /// Of lines about handshakes that failed.
    pub(crate) handshakes: Throttle,
}

/// Accepts connections, of which at most `limit` are open at once. `serve` makes the future that serves one.
pub(crate) async fn accept<F: Future<Output = ()> + Send + 'static>(
    listener: TcpListener,
    limit: impl Fn() -> usize,
    ledger: Arc<Ledger>,
    serve: impl Fn(TcpStream, SocketAddr) -> F,
) {
    // Each open connection holds a clone: one owner more than connections.
    let open = Arc::new(());
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of descriptors, mostly: others are given back in a while.
                ledger.not_accepted(&error);
                sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        if Arc::strong_count(&open) > limit() {
            ledger.metrics().connections_refused.inc();
            continue;
        }
        let place = Arc::clone(&open);
        let serving = serve(stream, peer);
        tokio::spawn(async move {
            serving.await;
            drop(place);
        });
    }
}

impl Acceptor {
    /// Accepts connections until the server is to stop.
    pub(crate) async fn run(self, listener: TcpListener) {
        let ledger = Arc::clone(&self.shared.ledger);
        let acceptor = Arc::new(self);
        let limit = || acceptor.shared.descriptors.connections();
        let accepting =
            accept(listener, limit, ledger, |stream, peer| Arc::clone(&acceptor).serve(stream, peer));
        tokio::select! {
            () = accepting => {}
            () = acceptor.stopping.asked() => {}
        }
    }

    async fn serve(self: Arc<Self>, stream: TcpStream, address: SocketAddr) {
        let _open = self.stopping.connection();
        let metrics = &self.shared.metrics;
        metrics.connections.inc();
        // Answers are small and awaited.
        let ended = match (stream.set_nodelay(true), &self.tls) {
            (Err(error), _) => Err(error.to_string()),
            (Ok(()), None) => self.http(stream, address.into()).await,
            (Ok(()), Some(tls)) => match self.shaken(tls, stream).await {
                Ok(stream) => {
                    let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
                    let certificate = shown.map(|shown| names_of(shown).into());
                    self.http(stream, Peer { address, certificate }).await
                }
                Err(failed) => {
                    if failed.is_fault
                        && let Some(kept_back) = self.handshakes.pass()
                    {
                        tracing::warn!(peer = %address, error = failed.text, kept_back, "TLS handshake failed");
                    }
                    Err(failed.text)
                }
            },
        };
        if let Err(error) = ended {
            tracing::debug!(error, peer = %address, "a connection broke");
        }
        metrics.connections.dec();
    }

    /// A connection after its handshake; one that has not begun it ends when the server is to stop.
    async fn shaken(&self, tls: &Tls, stream: TcpStream) -> Result<TlsStream<TcpStream>, HandshakeError> {
        tokio::select! {
            shaken = tls.accept(stream, self.shared.limits.handshake_max) => shaken,
            () = self.stopping.asked() => Err(HandshakeError { text: "the server is stopping".to_owned(), is_fault: false }),
        }
    }

    async fn http(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        peer: Peer,
    ) -> Result<(), String> {
        let Limits { streams_max, header_bytes, request_max, .. } = self.shared.limits;
        let connection = Connection::new(Arc::clone(&self.shared.ledger), peer);
        let guard = Guard {
            shared: Arc::clone(&self.shared),
            search: self.search.clone(),
            routes: self.routes.clone(),
            connection: Arc::clone(&connection),
        };
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder
            .timer(TokioTimer::new())
            .max_concurrent_streams(streams_max)
            .max_header_list_size(header_bytes)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_pending_accept_reset_streams(RESETS_OF_STREAM * streams_max as usize) // CAST: widening
            .keep_alive_interval(PING_EVERY)
            .keep_alive_timeout(PING_TIMEOUT);
        let serving = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(guard));
        let mut serving = std::pin::pin!(serving);
        let end = tokio::select! {
            ended = serving.as_mut() => return ended.map_err(|e| e.to_string()),
            end = self.over(&connection) => end,
        };
        if end == End::Unread {
            tracing::warn!(peer = %connection.peer.address, "an answer was left unread for too long; the connection is ended");
        }
        connection.end(end);
        serving.as_mut().graceful_shutdown();
        // What is under way has as long as a call may take; a client that has no call is not waited for.
        tokio::select! {
            ended = timeout(request_max, serving) => match ended {
                Ok(ended) => ended.map_err(|e| e.to_string()),
                Err(_) => Err(format!("not finished {} s after its end ({end:?})", request_max.as_secs())),
            },
            () = quiet(&connection, end), if !matches!(end, End::Age | End::Unread) => Ok(()),
        }
    }

    /// Returns when the connection has to end: why.
    async fn over(&self, connection: &Connection) -> End {
        let Limits { first_call_max, idle_max, age_max, request_max, .. } = self.shared.limits;
        let [least, most] = LOOK_EVERY;
        let shortest = first_call_max.min(idle_max).min(age_max).min(request_max);
        let look_every = (shortest / 8).clamp(least, most);
        loop {
            tokio::select! {
                () = self.stopping.asked() => return End::Stopping,
                () = sleep(look_every) => {}
            }
            if let Some(end) = connection.over(Instant::now()) {
                return end;
            }
        }
    }
}

/// Returns once a connection that was asked to end has no call, and none was there lately.
async fn quiet(connection: &Connection, end: End) {
    let time = if matches!(end, End::Stopping | End::Silent) { CLOSING_SOON } else { CLOSING };
    loop {
        sleep(time).await;
        if connection.is_quiet(Instant::now(), LAST_WRITES) {
            return;
        }
    }
}
