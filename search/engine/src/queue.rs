//! What waits for a search thread.
//!
//! Single queries and batches take turns, and batches among themselves: a batch is worked on query by query, so that
//! it delays others by one query and not by its length. Single queries are taken in the order they came.
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::SearchError;
use crate::job::{Job, Running, Take};

/// Requests that wait at most, where the caller does not wait for a place.
const PLACES: usize = 1024;

/// The queue of one engine, with the number of threads that serve it.
pub(crate) struct Queue {
    state: Mutex<State>,
    /// Rung when there is work, or when there will be no more.
    work: Condvar,
    /// Rung when the queue is closed.
    closing: Condvar,
}

struct State {
    /// Requests of one query, oldest first.
    singles: VecDeque<Arc<Job>>,
    /// Requests of several, with the queries that no thread has taken; the one whose turn is next comes first.
    batches: VecDeque<(Arc<Job>, usize)>,
    /// Whether the next turn is a batch's, where both wait.
    batch_next: bool,
    /// Threads that sleep until there is work.
    sleeping: usize,
    /// Threads that serve.
    threads: usize,
    closed: bool,
}

impl State {
    /// The request whose turn it is, with the queries it has left besides one.
    fn pick(&mut self) -> Option<(Arc<Job>, usize)> {
        let batch_first = self.batch_next || self.singles.is_empty();
        let batch = if batch_first { self.batches.pop_front() } else { None };
        self.batch_next = batch.is_none();
        let (job, left) = match batch {
            Some(batch) => batch,
            None => (self.singles.pop_front()?, 1),
        };
        Some((job, left - 1))
    }

    fn take_all(&mut self) -> Vec<Arc<Job>> {
        let batches = self.batches.drain(..).map(|(job, _)| job);
        self.singles.drain(..).chain(batches).collect()
    }
}

impl Queue {
    /// A queue that `threads` threads are about to serve.
    pub(crate) fn new(threads: usize) -> Queue {
        let (singles, batches) = (VecDeque::new(), VecDeque::new());
        let state = State { singles, batches, batch_next: false, sleeping: 0, threads, closed: false };
        Queue { state: Mutex::new(state), work: Condvar::new(), closing: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing in a critical section panics halfway.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in a request; `limited` refuses it when too many wait.
    pub(crate) fn push(&self, job: Arc<Job>, limited: bool) -> Result<(), SearchError> {
        let mut state = self.lock();
        if state.threads == 0 || state.closed {
            return Err(SearchError::Closed);
        }
        if limited && state.singles.len() + state.batches.len() >= PLACES {
            return Err(SearchError::Overloaded { queue: PLACES });
        }
        let queries = job.queries();
        match queries {
            1 => state.singles.push_back(job),
            _ => state.batches.push_back((job, queries)),
        }
        // Waking asks the kernel, even where nobody sleeps.
        let woken = queries.min(state.sleeping);
        drop(state);
        (0..woken).for_each(|_| self.work.notify_one());
        Ok(())
    }

    /// The next query. Without any, `sleep` says whether to wait for one; `None` if not, or when the queue is closed
    /// and empty.
    pub(crate) fn next(&self, sleep: bool) -> Option<Running> {
        let mut state = self.lock();
        loop {
            let Some((job, left)) = state.pick() else {
                if !sleep || state.closed {
                    return None;
                }
                state.sleeping += 1;
                state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
                state.sleeping -= 1;
                continue;
            };
            match job.take() {
                Take::Query { number, more } => {
                    if more {
                        state.batches.push_back((Arc::clone(&job), left));
                    }
                    return Some(Running::new(job, number));
                }
                Take::Over(due) => {
                    // A reply is the caller's own code.
                    drop(state);
                    if let Some(due) = due {
                        due.call();
                    }
                    drop(job);
                    state = self.lock();
                }
            }
        }
    }

    /// No more requests come; those that wait are still answered.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.work.notify_all();
        self.closing.notify_all();
    }

    /// Threads that serve.
    pub(crate) fn threads(&self) -> usize {
        self.lock().threads
    }

    /// A thread serves again.
    pub(crate) fn thread_came(&self) {
        self.lock().threads += 1;
    }

    /// A thread serves no more. What waits for the last one is refused.
    pub(crate) fn thread_went(&self) {
        let waiting = {
            let mut state = self.lock();
            state.threads -= 1;
            if state.threads == 0 { state.take_all() } else { Vec::new() }
        };
        waiting.iter().for_each(|job| job.refuse(SearchError::Closed));
    }

    /// Sleeps until then; whether the queue was closed.
    pub(crate) fn closed_by(&self, until: Instant) -> bool {
        let mut state = self.lock();
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if state.closed || left.is_zero() {
                return state.closed;
            }
            (state, _) = self.closing.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner);
        }
    }
}
