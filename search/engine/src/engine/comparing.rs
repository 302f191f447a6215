//! The ways to hand in searches that compare every vector.
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use crossbeam_channel::bounded;

use super::Engine;
use crate::error::SearchError;
use crate::exact::{ExactNearest, ExactPieces, ExactSearch};
use crate::job::{Job, Reply};
use crate::terms::Terms;

impl Engine {
    /// Hands in a piece of an exact search, to be done when nothing else waits. `reply` is called once, as by
    /// [`Engine::submit`], with the microseconds it took.
    ///
    /// # Errors
    /// As [`Engine::submit`].
    ///
    /// # Panics
    /// When the search is of another index.
    pub fn submit_exact(
        &self,
        search: &Arc<ExactSearch>,
        piece: usize,
        reply: impl FnOnce(Result<f32, SearchError>) + Send + 'static,
    ) -> Result<(), SearchError> {
        let pieces = ExactPieces { search: Arc::clone(search), pieces: piece..piece + 1, idle: true };
        let reply = move |result: Result<Vec<f32>, _>| {
            reply(result.map(|micros| micros.first().copied().unwrap_or_default()));
        };
        self.hand_in(self.exact_job(pieces, Terms::default(), Box::new(reply)), true)
    }

    /// Hands in all pieces of an exact search without waiting, one by one in turn with other queries. `reply` is called once, usually on a
    /// worker's thread, and must not block it.
    ///
    /// # Errors
    /// [`SearchError`] when it is refused; `reply` is then not called. [`SearchError::Overloaded`] when too many requests are waiting.
    ///
    /// # Panics
    /// When the search is of another index.
    pub fn submit_exact_whole(
        &self,
        search: &Arc<ExactSearch>,
        deadline: Option<Instant>,
        stop: Option<Arc<AtomicBool>>,
        reply: impl FnOnce(Result<(), SearchError>) + Send + 'static,
    ) -> Result<(), SearchError> {
        let pieces = ExactPieces { search: Arc::clone(search), pieces: 0..search.pieces(), idle: false };
        let reply = Box::new(move |result: Result<Vec<f32>, _>| reply(result.map(drop)));
        self.hand_in(self.exact_job(pieces, Terms { deadline, stop }, reply), true)
    }

    /// Finishes an exact search. Blocks until every vector was compared; `tell` hears how many pieces are done, and says
    /// whether to go on.
    ///
    /// # Errors
    /// [`SearchError`]; [`SearchError::Stopped`] where `tell` says so.
    ///
    /// # Panics
    /// When the search is of another index.
    pub fn exact(
        &self,
        search: &Arc<ExactSearch>,
        tell: &mut dyn FnMut(usize) -> bool,
    ) -> Result<ExactNearest, SearchError> {
        let (all, portion) = (search.pieces(), 64 * self.executor.config().threads);
        for first in (0..all).step_by(portion) {
            if !tell(first) {
                return Err(SearchError::Stopped { answered: first, queries: all });
            }
            let pieces = first..(first + portion).min(all);
            let pieces = ExactPieces { search: Arc::clone(search), pieces, idle: false };
            let (sender, receiver) = bounded(1);
            let reply = Box::new(move |result| drop(sender.send(result)));
            self.executor.queue().push(self.exact_job(pieces, Terms::default(), reply), false)?;
            receiver.recv().unwrap_or(Err(SearchError::Closed))?;
        }
        tell(all);
        Ok(search.finish())
    }

    fn exact_job(&self, pieces: ExactPieces, terms: Terms, reply: Reply<f32>) -> Arc<Job<ExactPieces>> {
        assert!(Arc::ptr_eq(pieces.search.index(), self.index()), "an exact search goes with its own index");
        Job::new(pieces, &self.searched, terms, reply)
    }
}
