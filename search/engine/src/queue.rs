//! What waits for a search thread.
//!
//! Single queries and batches take turns, and batches among themselves: a batch is worked on query by query, so that
//! it delays others by one query and not by its length. Single queries are taken in the order they came.
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::SearchError;
use crate::job::{Started, Take, Waiting};

/// Requests of one query, and requests of several, that wait at most where the caller does not wait for a place.
const PLACES: usize = 1024;

/// What threads take before a request that is handed in now, in queries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backlog {
    /// Queries of others before its first.
    pub before_first: usize,
    /// Queries of others before its last.
    pub before_last: usize,
}

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
    singles: VecDeque<Arc<dyn Waiting>>,
    /// Requests of several, with the queries that no thread has taken; the one whose turn is next comes first.
    batches: VecDeque<(Arc<dyn Waiting>, usize)>,
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
    fn pick(&mut self) -> Option<(Arc<dyn Waiting>, usize)> {
        let batch_first = self.batch_next || self.singles.is_empty();
        let batch = if batch_first { self.batches.pop_front() } else { None };
        self.batch_next = batch.is_none();
        let (job, left) = match batch {
            Some(batch) => batch,
            None => (self.singles.pop_front()?, 1),
        };
        Some((job, left - 1))
    }

    /// A single query waits for those before it and for a turn of the batches after each of them. A batch waits for a
    /// turn of each other batch; by the time of its last query, each other one had as many turns or has ended.
    fn backlog(&self, queries: usize) -> Backlog {
        let singles = self.singles.len();
        let of_batches = |most: usize| self.batches.iter().map(|(_, left)| (*left).min(most)).sum::<usize>();
        if queries == 1 {
            let before = singles + singles.min(of_batches(singles));
            return Backlog { before_first: before, before_last: before };
        }
        let (first, last) = (self.batches.len(), of_batches(queries));
        Backlog { before_first: first + singles.min(first), before_last: last + singles.min(last + queries) }
    }

    fn take_all(&mut self) -> Vec<Arc<dyn Waiting>> {
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
    pub(crate) fn push(&self, job: Arc<dyn Waiting>, limited: bool) -> Result<(), SearchError> {
        let mut state = self.lock();
        if state.threads == 0 || state.closed {
            return Err(SearchError::Closed);
        }
        let queries = job.pieces();
        let waiting = if queries == 1 { state.singles.len() } else { state.batches.len() };
        if limited && waiting >= PLACES {
            return Err(SearchError::Overloaded { queue: PLACES });
        }
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
    pub(crate) fn next(&self, sleep: bool) -> Option<Started> {
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
            match Arc::clone(&job).take() {
                Take::Piece { started, more } => {
                    if more {
                        state.batches.push_back((job, left));
                    }
                    return Some(started);
                }
                Take::Over(reply) => {
                    // A reply is the caller's own code.
                    drop(state);
                    drop(job);
                    if let Some(reply) = reply {
                        reply();
                    }
                    state = self.lock();
                }
            }
        }
    }

    /// What is ahead of a request of that many queries.
    pub(crate) fn backlog(&self, queries: usize) -> Backlog {
        self.lock().backlog(queries)
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use spandrel_index::testing::TestIndex;
    use spandrel_index::{DType, Index, Metric};

    use super::*;
    use crate::SearchParams;
    use crate::job::{Job, Queries, Running};
    use crate::plan::QueryPlan;

    /// A request of that many queries, that may be given up by a flag.
    fn job(index: &Index, queries: usize, stop: Option<Arc<AtomicBool>>) -> Arc<Job<Queries>> {
        let row_bytes = index.row_bytes();
        let plan = QueryPlan::of(&SearchParams::new(1), index).unwrap();
        let rows = vec![0; queries * row_bytes].into();
        let task = Queries { rows, row_bytes, plan, left_out: Vec::new(), pace: Arc::default() };
        Job::new(task, None, stop, Box::new(drop))
    }

    fn next(queue: &Queue) -> Option<Running> {
        match queue.next(false)? {
            Started::Query(running) => Some(running),
            Started::Fetch(_) => panic!("only queries were handed in"),
        }
    }

    fn with_index(test: impl FnOnce(&Index)) {
        let dir = tempfile::tempdir().unwrap();
        TestIndex::random(Metric::L2, DType::U8, 4, 50).write(dir.path());
        test(&Index::open(dir.path()).unwrap());
    }

    #[test]
    fn single_queries_and_batches_take_turns() {
        with_index(|index| {
            let queue = Queue::new(1);
            let all = [job(index, 3, None), job(index, 4, None), job(index, 1, None), job(index, 1, None)];
            for job in &all {
                queue.push(job.clone(), true).unwrap();
            }
            let mut order = Vec::new();
            while let Some(running) = next(&queue) {
                let which = all.iter().position(|job| Arc::ptr_eq(job, &running.job)).unwrap();
                order.push((which, running.number));
                running.finish(crate::Answer::default());
            }
            let expected = [(2, 0), (0, 0), (3, 0), (1, 0), (0, 1), (1, 1), (0, 2), (1, 2), (1, 3)];
            assert_eq!(order, expected);
        });
    }

    #[test]
    fn what_is_ahead_is_counted_by_turns() {
        with_index(|index| {
            let queue = Queue::new(1);
            let ahead = |queries| {
                let Backlog { before_first, before_last } = queue.backlog(queries);
                (before_first, before_last)
            };
            assert_eq!([ahead(1), ahead(200)], [(0, 0), (0, 0)]);
            for _ in 0..5 {
                queue.push(job(index, 200, None), true).unwrap();
            }
            // Whatever batches have left, a single query has the next turn.
            assert_eq!([ahead(1), ahead(10), ahead(1000)], [(0, 0), (5, 50), (5, 1000)]);
            for _ in 0..3 {
                queue.push(job(index, 1, None), true).unwrap();
            }
            assert_eq!([ahead(1), ahead(2), ahead(1000)], [(6, 6), (8, 13), (8, 1003)]);
        });
    }

    #[test]
    fn a_batch_given_up_is_dropped_at_once() {
        with_index(|index| {
            let queue = Queue::new(1);
            let stop = Arc::new(AtomicBool::new(false));
            queue.push(job(index, 1000, Some(Arc::clone(&stop))), true).unwrap();
            next(&queue).unwrap().finish(crate::Answer::default());
            assert_eq!(queue.backlog(1000).before_last, 999);
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
            assert!(next(&queue).is_none());
            assert_eq!(queue.backlog(1000).before_last, 0);
        });
    }
}
