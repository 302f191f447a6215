//! Asking a loaded server: waiting as long as it says, and asking again.
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use spandrel_client::{Client, time_to_come_back};
use tonic::Status;

use crate::Session;

/// A connection to a server, and the patience that it shares with others.
#[derive(Clone)]
pub(super) struct Connection {
    pub(super) client: Client,
    pub(super) patience: Arc<Patience>,
}

/// Waits for a server that refuses for the moment, and counts how often it did.
#[derive(Debug)]
pub(super) struct Patience {
    asked: AtomicU64,
    refused: AtomicU64,
    stop: Arc<AtomicBool>,
}

impl Patience {
    /// Until `stop` is set.
    pub(super) fn new(stop: &Arc<AtomicBool>) -> Arc<Patience> {
        Arc::new(Patience { asked: AtomicU64::new(0), refused: AtomicU64::new(0), stop: Arc::clone(stop) })
    }

    /// Makes a call until the server takes it.
    ///
    /// # Errors
    /// The first status that names no time to come back.
    pub(super) async fn call<T, F: Future<Output = Result<T, Status>>>(
        &self,
        mut call: impl FnMut() -> F,
    ) -> Result<T, Status> {
        loop {
            self.asked(1);
            let status = match call().await {
                Ok(answer) => return Ok(answer),
                Err(status) => status,
            };
            match self.pause(&status) {
                Some(pause) => tokio::time::sleep(pause).await,
                None => return Err(status),
            }
        }
    }

    /// Counts queries or calls that were sent.
    pub(super) fn asked(&self, count: u64) {
        self.asked.fetch_add(count, Ordering::Relaxed);
    }

    /// Counts a refusal: how long to wait before asking again; none if that does not help, or nobody waits any more.
    pub(super) fn pause(&self, status: &Status) -> Option<Duration> {
        let asked = time_to_come_back(status).filter(|_| !self.is_over())?;
        self.refused.fetch_add(1, Ordering::Relaxed);
        // So that those who were refused together do not come back together.
        Some(asked.mul_f64(1.0 + random() / 2.0))
    }

    /// Whether nobody waits any more.
    pub(super) fn is_over(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    pub(super) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Says how often the server refused, if it did.
    pub(super) fn tell(&self, session: &Session) {
        let (refused, percent) = (self.refused(), 100.0 * self.refused_share());
        if refused > 0 {
            session.note(&format!(
                "the server was loaded: it refused {refused} calls, {percent:.1} % of those made, and was asked again"
            ));
        }
    }

    /// The share of what was sent that was refused.
    pub(super) fn refused_share(&self) -> f64 {
        // CAST: counts are exact to 2^53
        self.refused() as f64 / self.asked.load(Ordering::Relaxed).max(1) as f64
    }
}

/// A number from 0 to 1 that differs between processes and calls.
fn random() -> f64 {
    use std::hash::{BuildHasher as _, RandomState};
    RandomState::new().hash_one(0) as f64 / u64::MAX as f64 // CAST: any number will do
}
