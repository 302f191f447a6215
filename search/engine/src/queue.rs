//! What waits for search threads.
//!
//! Requests to one index of one kind, single queries or batches, and of one plan where they have filters, are a flow. Flows take turns by the work that their queries
//! are expected to take, so that neither a batch nor a slow index keeps others waiting for longer than its share. In a flow
//! single queries are taken in the order they came, and batches take turns, query by query. Idle work is taken where nothing else
//! waits.
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::error::SearchError;
use crate::filter_plan::FilterPlan;
use crate::flow::{Flow, times};
use crate::job::{Kind, Started, Take, Waiting};
use crate::searched::Searched;

/// Requests of a flow that wait at most where the caller does not wait for a place.
const PLACES: usize = 1024;

/// What threads take before a request that is handed in now, as the time that it is expected to take one query at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Backlog {
    /// Queries of others before its first.
    pub before_first: Duration,
    /// Queries of others before its last.
    pub before_last: Duration,
}

/// The queue of one executor, with the number of threads that serve it.
pub(crate) struct Queue {
    state: Mutex<State>,
    /// Rung when there is work, or something else for threads to do.
    work: Condvar,
    /// Rung when the queue is closed.
    closing: Condvar,
}

struct State {
    /// Of each index one for each kind and plan, once such requests have come.
    flows: Vec<Flow>,
    /// What the flow had taken whose turn was last.
    clock: Duration,
    /// Threads that sleep until there is work.
    sleeping: usize,
    /// Threads that serve.
    threads: usize,
    /// Times that an index was closed.
    closed_indexes: u64,
    closed: bool,
}

/// What a thread is to do next.
pub(crate) enum Next {
    /// Work on a piece.
    Piece(Started),
    /// What it did before; nothing waits.
    Nothing,
    /// Let go of indexes that are closing.
    LetGo,
    /// End: the queue is closed and empty.
    End,
}

impl State {
    /// The flow whose turn it is.
    fn pick(&mut self) -> Option<&mut Flow> {
        let waiting = self.flows.iter_mut().filter(|flow| !flow.is_empty());
        waiting.min_by_key(|flow| (flow.kind == Kind::Idle, flow.taken, flow.kind, flow.index, flow.plan))
    }

    /// The flow of requests of a kind and plan to an index.
    fn flow(&mut self, index: usize, kind: Kind, plan: Option<FilterPlan>) -> &mut Flow {
        let is_it = |flow: &Flow| (flow.index, flow.kind, flow.plan) == (index, kind, plan);
        let at = self.flows.iter().position(is_it).unwrap_or_else(|| {
            self.flows.push(Flow::new(index, kind, plan));
            self.flows.len() - 1
        });
        &mut self.flows[at]
    }

    /// Each other flow has as much work done as this one until then, or has ended.
    fn backlog(&mut self, searched: &Searched, queries: usize, plan: Option<FilterPlan>) -> Backlog {
        let (piece, kind) = (searched.pace.query(plan), Kind::of(queries));
        let (first, last) = self.flow(searched.number, kind, plan).before(queries, piece);
        let own = if kind == Kind::Batch { times(piece, queries) } else { Duration::ZERO };
        let is_own = |flow: &Flow| (flow.index, flow.kind, flow.plan) == (searched.number, kind, plan);
        let others = self.flows.iter().filter(|flow| !is_own(flow) && flow.kind != Kind::Idle);
        let mut backlog = Backlog { before_first: first, before_last: last };
        for waiting in others.map(Flow::waiting) {
            backlog.before_first += waiting.min(first);
            backlog.before_last += waiting.min(last + own);
        }
        backlog
    }
}

impl Queue {
    /// A queue that `threads` threads are about to serve.
    pub(crate) fn new(threads: usize) -> Queue {
        let (flows, clock) = (Vec::new(), Duration::ZERO);
        let state = State { flows, clock, sleeping: 0, threads, closed_indexes: 0, closed: false };
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
        let (queries, clock) = (job.pieces(), state.clock);
        let flow = state.flow(job.searched().number, job.kind(), job.plan());
        if limited && flow.len() >= PLACES {
            return Err(SearchError::Overloaded { queue: PLACES });
        }
        if flow.is_empty() {
            // Turns that were not used are not made up for.
            flow.taken = flow.taken.max(clock);
        }
        flow.push(job, queries);
        // Waking asks the kernel, even where nobody sleeps.
        let woken = queries.min(state.sleeping);
        drop(state);
        (0..woken).for_each(|_| self.work.notify_one());
        Ok(())
    }

    /// What to do next, for a thread that has let go of indexes closed by `seen`. Without any work, `sleep` says whether to
    /// wait for some.
    pub(crate) fn next(&self, sleep: bool, seen: &mut u64) -> Next {
        let mut state = self.lock();
        loop {
            if *seen != state.closed_indexes {
                *seen = state.closed_indexes;
                return Next::LetGo;
            }
            let Some(flow) = state.pick() else {
                if state.closed && sleep {
                    return Next::End;
                }
                if !sleep {
                    return Next::Nothing;
                }
                state.sleeping += 1;
                state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
                state.sleeping -= 1;
                continue;
            };
            let (taken, kind) = (flow.taken, flow.kind);
            let Some((job, left)) = flow.pop() else { unreachable!("a flow is picked that is not empty") };
            match Arc::clone(&job).take() {
                Take::Piece { started, more } => {
                    flow.charge(job.searched().pace.query(job.plan()));
                    if more {
                        flow.push(job, left - 1);
                    }
                    if kind != Kind::Idle {
                        state.clock = taken;
                    }
                    return Next::Piece(started);
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
    pub(crate) fn backlog(&self, searched: &Searched, queries: usize, plan: Option<FilterPlan>) -> Backlog {
        self.lock().backlog(searched, queries, plan)
    }

    /// Gives up idle work of an index that is closing: it might wait for ever.
    pub(crate) fn give_up_idle(&self, number: usize) {
        let mut state = self.lock();
        let waiting: Vec<Arc<dyn Waiting>> = state.flow(number, Kind::Idle, None).drain().collect();
        drop(state);
        waiting.iter().for_each(|job| job.refuse(SearchError::Closed));
    }

    /// Wakes threads, so that they let go of an index that is closing and has nothing waiting.
    pub(crate) fn close_index(&self, number: usize) {
        let mut state = self.lock();
        state.flows.retain(|flow| flow.index != number);
        state.closed_indexes += 1;
        drop(state);
        self.work.notify_all();
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
        let mut waiting = Vec::new();
        let mut state = self.lock();
        state.threads -= 1;
        if state.threads == 0 {
            state.flows.iter_mut().for_each(|flow| waiting.extend(flow.drain()));
        }
        drop(state);
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
    use std::sync::atomic::{AtomicBool, Ordering};

    use spandrel_index::testing::TestIndex;
    use spandrel_index::{DType, Index, Metric};

    use super::*;
    use crate::answer::Answer;
    use crate::exact::{ExactPieces, ExactSearch};
    use crate::job::{Job, Queries, Running};
    use crate::params::SearchParams;
    use crate::plan::QueryPlan;
    use crate::terms::Terms;

    const MS: Duration = Duration::from_millis(1);

    /// A request of that many queries, that may be given up by a flag.
    fn job(searched: &Arc<Searched>, queries: usize, stop: Option<Arc<AtomicBool>>) -> Arc<Job<Queries>> {
        let row_bytes = searched.index.row_bytes();
        let plan = QueryPlan::of(&SearchParams::new(1), &searched.index).unwrap();
        let rows = vec![0; queries * row_bytes].into();
        let task = Queries { rows, row_bytes, plan, left_out: Vec::new() };
        Job::new(task, searched, Terms { deadline: None, stop }, Box::new(drop))
    }

    fn next(queue: &Queue) -> Option<Running> {
        match queue.next(false, &mut 0) {
            Next::Piece(Started::Query(running)) => Some(running),
            Next::Nothing => None,
            _ => panic!("only queries were handed in"),
        }
    }

    /// Two indexes, whose queries take one and `other_ms` milliseconds.
    fn with_indexes(other_ms: f32, test: impl FnOnce(&Arc<Searched>, &Arc<Searched>)) {
        let dir = tempfile::tempdir().unwrap();
        TestIndex::random(Metric::L2, DType::U8, 4, 50).write(dir.path());
        let index = Arc::new(Index::open(dir.path()).unwrap());
        let [one, other] = [0, 1].map(|number| {
            let mut searched = Searched::of(&index);
            searched.number = number;
            Arc::new(searched)
        });
        one.pace.of(None).took(1000.0);
        other.pace.of(None).took(1000.0 * other_ms);
        test(&one, &other);
    }

    /// The numbers of the requests in the order in which their queries are taken, each with that of the query.
    fn order(queue: &Queue, all: &[Arc<Job<Queries>>]) -> Vec<(usize, usize)> {
        let mut order = Vec::new();
        while let Some(running) = next(queue) {
            let which = all.iter().position(|job| Arc::ptr_eq(job, &running.job)).unwrap();
            order.push((which, running.number));
            running.finish(Answer { latency_us: 1000.0, ..Answer::default() });
        }
        order
    }

    #[test]
    fn single_queries_and_batches_take_turns() {
        with_indexes(1.0, |index, _| {
            let queue = Queue::new(1);
            let all = [3, 4, 1, 1].map(|queries| job(index, queries, None));
            all.iter().for_each(|job| queue.push(job.clone(), true).unwrap());
            let expected = [(2, 0), (0, 0), (3, 0), (1, 0), (0, 1), (1, 1), (0, 2), (1, 2), (1, 3)];
            assert_eq!(order(&queue, &all), expected);
        });
    }

    #[test]
    fn indexes_take_turns_by_the_work_of_their_queries() {
        with_indexes(1.0, |index, other| {
            let queue = Queue::new(1);
            let all = [job(index, 4, None), job(other, 1, None), job(other, 1, None), job(other, 1, None)];
            all.iter().for_each(|job| queue.push(job.clone(), true).unwrap());
            let expected = [(1, 0), (0, 0), (2, 0), (0, 1), (3, 0), (0, 2), (0, 3)];
            assert_eq!(order(&queue, &all), expected, "a batch of one index lets queries of another pass");
            // Queries of the one take three times as long as those of the other, so that three of these pass for each.
            (0..1000).for_each(|_| index.pace.of(None).took(3000.0));
            let all: Vec<_> =
                (0..4).map(|_| job(index, 1, None)).chain((0..9).map(|_| job(other, 1, None))).collect();
            all.iter().for_each(|job| queue.push(job.clone(), true).unwrap());
            let mut of_slow = Vec::new();
            for at in 0..13 {
                let running = next(&queue).unwrap();
                if running.job.searched().number == index.number {
                    of_slow.push(at);
                }
                let latency_us = if running.job.searched().number == index.number { 3000.0 } else { 1000.0 };
                running.finish(Answer { latency_us, ..Answer::default() });
            }
            let between: Vec<usize> = of_slow.windows(2).map(|pair| pair[1] - pair[0]).collect();
            assert_eq!(between, [4, 4, 4], "{of_slow:?}");
        });
    }

    #[test]
    fn idle_work_is_taken_where_nothing_else_waits() {
        with_indexes(1.0, |index, other| {
            let queue = Queue::new(1);
            let rows = vec![0; index.index.row_bytes()].into();
            let search = Arc::new(ExactSearch::new(&index.index, rows, 1, Vec::new()).unwrap());
            let pieces = |idle| ExactPieces { search: Arc::clone(&search), pieces: 0..2, idle };
            let exact = |idle| Job::new(pieces(idle), index, Terms::default(), Box::new(drop));
            queue.push(exact(true), true).unwrap();
            let all = [job(index, 3, None), job(other, 1, None)];
            all.iter().for_each(|job| queue.push(job.clone(), true).unwrap());
            let (with, queue_alone) = (queue.backlog(other, 1, None), Queue::new(1));
            all.iter().for_each(|job| queue_alone.push(job.clone(), true).unwrap());
            assert_eq!(with, queue_alone.backlog(other, 1, None), "idle work is ahead of nobody");
            for _ in 0..4 {
                let running = next(&queue).expect("queries come first");
                running.finish(Answer { latency_us: 1000.0, ..Answer::default() });
            }
            // Given up, a piece would take the other with it.
            let taken: Vec<Next> = (0..2).map(|_| queue.next(false, &mut 0)).collect();
            assert!(taken.iter().all(|next| matches!(next, Next::Piece(Started::Exact(_)))));
            assert!(matches!(queue.next(false, &mut 0), Next::Nothing));
        });
    }

    #[test]
    fn what_is_ahead_is_counted_by_turns() {
        with_indexes(2.0, |index, other| {
            let queue = Queue::new(1);
            let ahead = |queries| {
                let Backlog { before_first, before_last } = queue.backlog(index, queries, None);
                (before_first.as_millis(), before_last.as_millis())
            };
            assert_eq!([ahead(1), ahead(200)], [(0, 0), (0, 0)]);
            for _ in 0..5 {
                queue.push(job(index, 200, None), true).unwrap();
            }
            // A single query has the next turn, however much of the batches is left.
            assert_eq!([ahead(1), ahead(10), ahead(1000)], [(0, 0), (5, 50), (5, 1000)]);
            for _ in 0..3 {
                queue.push(job(index, 1, None), true).unwrap();
            }
            assert_eq!([ahead(1), ahead(2), ahead(1000)], [(6, 6), (8, 13), (8, 1003)]);
            // Work of another index takes turns too, by the time that it takes.
            queue.push(job(other, 1, None), true).unwrap();
            assert_eq!([ahead(1), ahead(2)], [(8, 8), (10, 15)]);
            assert_eq!(queue.backlog(other, 1, None), Backlog { before_first: 6 * MS, before_last: 6 * MS });
        });
    }

    #[test]
    fn a_batch_given_up_is_dropped_at_once() {
        with_indexes(1.0, |index, _| {
            let queue = Queue::new(1);
            let stop = Arc::new(AtomicBool::new(false));
            queue.push(job(index, 1000, Some(Arc::clone(&stop))), true).unwrap();
            next(&queue).unwrap().finish(Answer { latency_us: 1000.0, ..Answer::default() });
            assert_eq!(queue.backlog(index, 1000, None).before_last, 999 * MS);
            stop.store(true, Ordering::Relaxed);
            assert!(next(&queue).is_none());
            assert_eq!(queue.backlog(index, 1000, None).before_last, Duration::ZERO);
        });
    }

    #[test]
    fn threads_are_told_of_a_closed_index_once() {
        let (queue, mut seen) = (Queue::new(1), 0);
        queue.close_index(0);
        assert!(matches!(queue.next(true, &mut seen), Next::LetGo));
        assert!(matches!(queue.next(false, &mut seen), Next::Nothing));
        queue.close();
        assert!(matches!(queue.next(true, &mut seen), Next::End));
    }
}
