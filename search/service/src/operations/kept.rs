//! The operations that a server remembers.
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::operation::{Kind, Operation, Outcome, State};
use crate::causes::with_causes;
use crate::progress::Progress;
use crate::refusal::Refusal;
use crate::stopping::Stopping;

/// Operations kept, those under way included. The oldest that has ended makes room for a new one.
const KEPT_MAX: usize = 100;

/// The operations of a server.
pub(crate) struct Operations {
    kept: Mutex<Kept>,
    stopping: Stopping,
}

#[derive(Default)]
struct Kept {
    /// By number, which is the order in which they began.
    all: VecDeque<Arc<Operation>>,
    last: u64,
}

impl Operations {
    pub(crate) fn new(stopping: Stopping) -> Operations {
        Operations { kept: Mutex::default(), stopping }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins `work`, which is dropped when the operation is given up or the server stops.
    pub(crate) fn start<F>(
        &self,
        kind: Kind,
        index: &str,
        work: impl FnOnce(Arc<Progress>) -> F,
    ) -> Result<Arc<Operation>, Refusal>
    where
        F: Future<Output = Result<Outcome, Refusal>> + Send + 'static,
    {
        let operation = self.lock().enter(kind, index)?;
        let (working, stopping) = (work(Arc::clone(&operation.progress)), self.stopping.clone());
        let entered = Arc::clone(&operation);
        tokio::spawn(async move {
            let ended = tokio::select! {
                ended = working => ended,
                () = entered.was_cancelled() => Err(Refusal::Cancelled),
                () = stopping.asked() => Err(Refusal::Stopping),
            };
            let (id, index, kind) = (entered.id, &entered.index, entered.kind);
            let state = match ended {
                Ok(outcome) => {
                    tracing::info!(id, index, ?kind, ?outcome, "operation ended");
                    State::Done(outcome)
                }
                Err(Refusal::Cancelled) => {
                    tracing::info!(id, index, ?kind, "operation cancelled");
                    State::Cancelled
                }
                Err(refusal) => {
                    tracing::warn!(id, index, ?kind, error = with_causes(&refusal), "operation failed");
                    State::Failed(Arc::new(refusal))
                }
            };
            entered.end(state);
        });
        Ok(operation)
    }

    /// The operation of that number.
    pub(crate) fn get(&self, id: u64) -> Result<Arc<Operation>, Refusal> {
        let kept = self.lock();
        let found = kept.all.binary_search_by_key(&id, |operation| operation.id).ok();
        found.and_then(|at| kept.all.get(at)).cloned().ok_or(Refusal::NoOperation { id })
    }

    /// All that are kept, oldest first.
    pub(crate) fn all(&self) -> Vec<Arc<Operation>> {
        self.lock().all.iter().cloned().collect()
    }
}

impl Kept {
    fn enter(&mut self, kind: Kind, index: &str) -> Result<Arc<Operation>, Refusal> {
        if self.all.len() >= KEPT_MAX {
            let ended = self.all.iter().position(|operation| operation.has_ended());
            let Some(oldest) = ended else { return Err(Refusal::Operations { limit: KEPT_MAX }) };
            drop(self.all.remove(oldest));
        }
        self.last += 1;
        let operation = Arc::new(Operation::new(self.last, kind, index.to_owned()));
        self.all.push_back(Arc::clone(&operation));
        Ok(operation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operations::Verified;

    fn verified() -> Outcome {
        Outcome::Verified(Verified { version: 7, bytes: 1, problem: None })
    }

    #[tokio::test]
    async fn the_oldest_that_ended_makes_room() {
        let operations = Operations::new(Stopping::new());
        let endless = operations.start(Kind::Load, "a", |_| std::future::pending()).unwrap();
        for _ in 1..KEPT_MAX + 20 {
            let quick = operations.start(Kind::Verify, "a", |_| async { Ok(verified()) }).unwrap();
            quick.ended().await;
            assert!(matches!(quick.state(), State::Done(outcome) if outcome == verified()));
        }
        let ids: Vec<u64> = operations.all().iter().map(|operation| operation.id).collect();
        assert_eq!((ids.len(), ids[0], ids[1], ids[99]), (100, endless.id, 22, 120));
        assert!(matches!(operations.get(2), Err(Refusal::NoOperation { id: 2 })));
        assert!(operations.get(120).is_ok());
    }

    #[tokio::test]
    async fn no_more_are_under_way_than_are_kept() {
        let operations = Operations::new(Stopping::new());
        let start = || operations.start(Kind::Load, "a", |_| std::future::pending());
        let first = start().unwrap();
        (1..KEPT_MAX).for_each(|_| drop(start().unwrap()));
        assert!(matches!(start(), Err(Refusal::Operations { limit: KEPT_MAX })));
        first.cancel();
        first.ended().await;
        assert!(matches!(first.state(), State::Cancelled));
        start().unwrap();
    }

    #[tokio::test]
    async fn a_stop_ends_what_is_under_way() {
        let stopping = Stopping::new();
        let operations = Operations::new(stopping.clone());
        let endless = operations.start(Kind::Load, "a", |_| std::future::pending()).unwrap();
        let time = endless.time();
        stopping.stop();
        endless.ended().await;
        assert!(matches!(endless.state(), State::Failed(why) if matches!(*why, Refusal::Stopping)));
        assert!(endless.time() >= time);
    }
}
