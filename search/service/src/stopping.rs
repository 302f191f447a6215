//! Knowing that the server is to stop, and when all work is done.
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::sync::{Notify, watch};

/// Shared by everything that has to end when the server stops.
#[derive(Debug, Clone)]
pub(crate) struct Stopping {
    asked: watch::Sender<bool>,
    /// Whether the server is about to stop, and tells load balancers.
    draining: Arc<AtomicBool>,
    calls: Arc<AtomicUsize>,
    connections: Arc<AtomicUsize>,
    /// Rung when the last of them is over.
    done: Arc<Notify>,
}

/// Something that a stop waits for.
#[derive(Debug)]
pub(crate) struct Work {
    count: Arc<AtomicUsize>,
    done: Arc<Notify>,
}

impl Stopping {
    pub(crate) fn new() -> Stopping {
        Stopping {
            asked: watch::Sender::new(false),
            draining: Arc::default(),
            calls: Arc::default(),
            connections: Arc::default(),
            done: Arc::default(),
        }
    }

    /// States that the server is about to stop. Calls go on.
    pub(crate) fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Asks everything to end.
    pub(crate) fn stop(&self) {
        self.asked.send_replace(true);
    }

    pub(crate) fn is_asked(&self) -> bool {
        *self.asked.borrow()
    }

    /// Returns once the server is to stop.
    pub(crate) async fn asked(&self) {
        // The sender lives in `self`, so that waiting cannot fail.
        drop(self.asked.subscribe().wait_for(|&asked| asked).await);
    }

    /// A call, which keeps a stop waiting until it is dropped.
    pub(crate) fn work(&self) -> Work {
        Work::new(&self.calls, &self.done)
    }

    /// A connection, which keeps a stop waiting until it is dropped: its last bytes still have to leave.
    pub(crate) fn connection(&self) -> Work {
        Work::new(&self.connections, &self.done)
    }

    /// Calls under way.
    pub(crate) fn under_way(&self) -> usize {
        self.calls.load(Ordering::Acquire)
    }

    /// Returns once there is no call.
    pub(crate) async fn idle(&self) {
        self.none(&self.calls).await;
    }

    /// Returns once there is no connection.
    pub(crate) async fn closed(&self) {
        self.none(&self.connections).await;
    }

    async fn none(&self, of: &AtomicUsize) {
        loop {
            let rung = self.done.notified();
            if of.load(Ordering::Acquire) == 0 {
                return;
            }
            rung.await;
        }
    }
}

impl Work {
    fn new(count: &Arc<AtomicUsize>, done: &Arc<Notify>) -> Work {
        count.fetch_add(1, Ordering::AcqRel);
        Work { count: Arc::clone(count), done: Arc::clone(done) }
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        if self.count.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.done.notify_waiters();
        }
    }
}

/// Tells work on a thread of its own that nobody waits for it any more: set when it is dropped.
#[derive(Debug, Default)]
pub(crate) struct StopFlag(Arc<AtomicBool>);

impl StopFlag {
    pub(crate) fn share(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.0)
    }
}

impl Drop for StopFlag {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_stop_waits_for_work() {
        let stopping = Stopping::new();
        stopping.idle().await;
        let work = [stopping.work(), stopping.work()];
        assert!(!stopping.is_asked());
        stopping.stop();
        stopping.asked().await;
        assert_eq!(stopping.under_way(), 2);
        let waiting = tokio::spawn({
            let stopping = stopping.clone();
            async move { stopping.idle().await }
        });
        let connection = stopping.connection();
        drop(work);
        waiting.await.unwrap();
        let soon = std::time::Duration::from_millis(1);
        assert!(tokio::time::timeout(soon, stopping.closed()).await.is_err());
        drop(connection);
        stopping.closed().await;
    }
}
