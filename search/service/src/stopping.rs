//! Knowing that the server is to stop, and when all work is done.
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::watch;

/// Shared by everything that has to end when the server stops.
#[derive(Debug, Clone)]
pub(crate) struct Stopping {
    asked: watch::Sender<bool>,
    work: Arc<AtomicUsize>,
    /// Rung when the last work is done.
    done: Arc<tokio::sync::Notify>,
}

/// Something that a stop waits for.
#[derive(Debug)]
pub(crate) struct Work {
    stopping: Stopping,
}

impl Stopping {
    pub(crate) fn new() -> Stopping {
        Stopping { asked: watch::Sender::new(false), work: Arc::default(), done: Arc::default() }
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

    /// Keeps a stop waiting until it is dropped.
    pub(crate) fn work(&self) -> Work {
        self.work.fetch_add(1, Ordering::AcqRel);
        Work { stopping: self.clone() }
    }

    /// Requests under way.
    pub(crate) fn under_way(&self) -> usize {
        self.work.load(Ordering::Acquire)
    }

    /// Returns once no work is under way.
    pub(crate) async fn idle(&self) {
        loop {
            let rung = self.done.notified();
            if self.under_way() == 0 {
                return;
            }
            rung.await;
        }
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        if self.stopping.work.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.stopping.done.notify_waiters();
        }
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
        drop(work);
        waiting.await.unwrap();
    }
}
