//! Places for compiling filters, and how long one waits for them.
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout_at;

use crate::refusal::Refusal;

/// Share of the latest filter in the time that one is expected to take, as a division.
const LATEST: u64 = 8;

/// Filters of an index that are compiled, and that wait to be.
#[derive(Debug)]
pub(super) struct Compiling {
    places: Arc<Semaphore>,
    at_once: usize,
    waiting: Arc<AtomicUsize>,
    /// Time that compiling a filter takes, a moving mean.
    micros: AtomicU64,
}

impl Compiling {
    pub(super) fn new(at_once: usize) -> Compiling {
        Compiling {
            places: Arc::new(Semaphore::new(at_once)),
            at_once,
            waiting: Arc::default(),
            micros: AtomicU64::new(0),
        }
    }

    /// Counts a filter as one that is to be compiled.
    pub(super) fn wait(&self) -> Waiting {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        Waiting(Arc::clone(&self.waiting))
    }

    /// Waits for a place, which is there by the deadline.
    pub(super) async fn place(&self, deadline: Instant) -> Result<OwnedSemaphorePermit, Refusal> {
        place(&self.places, deadline).await
    }

    /// Time in which those that wait now are compiled.
    pub(super) fn delay(&self) -> Duration {
        let waiting = self.waiting.load(Ordering::Relaxed).div_ceil(self.at_once);
        Duration::from_micros(self.micros.load(Ordering::Relaxed)).saturating_mul(waiting as u32) // CAST: calls
    }

    /// Measures until it is dropped how long a filter takes, also one that is given up.
    pub(super) fn timed(&self) -> Timed<'_> {
        Timed { micros: &self.micros, begun: Instant::now() }
    }
}

/// Waits for one of some places, which are never closed.
pub(super) async fn place(
    places: &Arc<Semaphore>,
    deadline: Instant,
) -> Result<OwnedSemaphorePermit, Refusal> {
    let place = timeout_at(deadline.into(), Arc::clone(places).acquire_owned()).await;
    place.ok().and_then(Result::ok).ok_or(Refusal::Deadline)
}

/// A filter that is to be compiled. Dropped when that begins, or does not happen.
#[derive(Debug)]
pub(crate) struct Waiting(Arc<AtomicUsize>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A filter that is being compiled.
pub(super) struct Timed<'a> {
    micros: &'a AtomicU64,
    begun: Instant,
}

impl Drop for Timed<'_> {
    fn drop(&mut self) {
        let took = self.begun.elapsed().as_micros() as u64; // CAST: hours at most
        // Where two end at once, one of them counts.
        let mean = self.micros.load(Ordering::Relaxed);
        let next = if mean == 0 { took } else { mean - mean / LATEST + took / LATEST };
        self.micros.store(next, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn those_that_wait_say_how_long() {
        let compiling = Compiling::new(2);
        let soon = Instant::now() + Duration::from_secs(60);
        let held = [compiling.place(soon).await.unwrap(), compiling.place(soon).await.unwrap()];
        let ms = Duration::from_millis(1);
        drop(Timed { micros: &compiling.micros, begun: Instant::now() - 80 * ms });
        assert_eq!(compiling.delay(), Duration::ZERO);
        let mut waiting: Vec<_> = (0..5).map(|_| compiling.wait()).collect();
        let delay = compiling.delay();
        assert!(delay >= 240 * ms && delay < 400 * ms, "three rounds of 80 ms: {delay:?}");
        drop(Timed { micros: &compiling.micros, begun: Instant::now() });
        assert!(compiling.delay() < delay);
        waiting.clear();
        assert_eq!(compiling.delay(), Duration::ZERO);
        assert!(matches!(compiling.place(Instant::now()).await, Err(Refusal::Deadline)));
        drop(held);
        let late = compiling.place(Instant::now()).await;
        assert!(late.is_ok(), "a place that is there is taken");
    }
}
