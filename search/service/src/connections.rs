//! Connections: accepted up to a number, closed when idle or old, told to go when the server stops.
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::server::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use tonic::service::Routes;

use crate::guard::{Activity, Guard, Shared};
use crate::limits::Limits;
use crate::stopping::Stopping;
use crate::tls::Tls;

/// Bytes that a client may send ahead on one stream, and on one connection.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 2 << 20;
/// Calls that a client may give up before they were looked at, for each that it may have under way; one that goes
/// beyond is at war, and its connection is closed.
const RESETS_OF_STREAM: usize = 2;
/// A client that does not answer a ping is gone.
const PING_EVERY: Duration = Duration::from_secs(60);
const PING_TIMEOUT: Duration = Duration::from_secs(20);

/// What connections are served with.
pub(crate) struct Acceptor {
    pub(crate) shared: Arc<Shared>,
    pub(crate) routes: Routes,
    pub(crate) tls: Option<Tls>,
    pub(crate) stopping: Stopping,
}

impl Acceptor {
    /// Accepts connections until the server is to stop.
    pub(crate) async fn run(self, listener: TcpListener) {
        let places = Arc::new(Semaphore::new(self.shared.limits.connections));
        let metrics = Arc::clone(&self.shared.metrics);
        let acceptor = Arc::new(self);
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = acceptor.stopping.asked() => return,
            };
            let stream = match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // Out of descriptors, mostly: others are given back in a while.
                    tracing::warn!(%error, "a connection could not be accepted");
                    sleep(Duration::from_millis(50)).await;
                    continue;
                }
            };
            let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
                metrics.connections_refused.inc();
                continue;
            };
            tokio::spawn(Arc::clone(&acceptor).serve(stream, place));
        }
    }

    async fn serve(self: Arc<Self>, stream: TcpStream, place: OwnedSemaphorePermit) {
        let metrics = &self.shared.metrics;
        metrics.connections.inc();
        // Answers are small and awaited.
        let ended = match (stream.set_nodelay(true), &self.tls) {
            (Err(error), _) => Err(error.to_string()),
            (Ok(()), None) => self.http(stream).await,
            (Ok(()), Some(tls)) => {
                let handshake = timeout(self.shared.limits.handshake, tls.acceptor().accept(stream)).await;
                match handshake {
                    Ok(Ok(stream)) => self.http(stream).await,
                    Ok(Err(error)) => Err(error.to_string()),
                    Err(_) => Err("the TLS handshake took too long".to_owned()),
                }
            }
        };
        if let Err(error) = ended {
            tracing::debug!(error, "a connection broke");
        }
        metrics.connections.dec();
        drop(place);
    }

    async fn http(&self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Result<(), String> {
        let Limits { streams, header_bytes, idle, age, .. } = self.shared.limits;
        let activity = Arc::new(Activity::new());
        let guard = Guard {
            shared: Arc::clone(&self.shared),
            routes: self.routes.clone(),
            activity: Arc::clone(&activity),
        };
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder
            .timer(TokioTimer::new())
            .max_concurrent_streams(streams)
            .max_header_list_size(header_bytes)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_pending_accept_reset_streams(RESETS_OF_STREAM * streams as usize) // CAST: widening
            .keep_alive_interval(PING_EVERY)
            .keep_alive_timeout(PING_TIMEOUT);
        let serving = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(guard));
        let mut serving = std::pin::pin!(serving);
        let end = async {
            tokio::select! {
                () = sleep(age) => {}
                () = idle_for(idle, &activity) => {}
                () = self.stopping.asked() => {}
            }
        };
        tokio::select! {
            ended = serving.as_mut() => return ended.map_err(|e| e.to_string()),
            () = end => {}
        }
        serving.as_mut().graceful_shutdown();
        serving.await.map_err(|e| e.to_string())
    }
}

/// Returns once there has been no call for so long.
async fn idle_for(limit: Duration, activity: &Activity) {
    loop {
        let left = match activity.idle_since() {
            None => limit,
            Some(since) => match (since + limit).checked_duration_since(Instant::now()) {
                None => return,
                Some(left) => left,
            },
        };
        sleep(left.max(Duration::from_millis(1))).await;
    }
}
