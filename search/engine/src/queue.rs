//! What waits for search threads.
//!
//! Requests to one index of one kind, single queries or batches, and of one course (`Course`) are a flow. Flows take turns by the work that their queries
//! are expected to take, so that neither a batch nor a slow index keeps others waiting for longer than its share. In a flow
//! single queries are taken in the order they came, and batches take turns, query by query; one whose deadline is near takes the turns
//! of others. Idle work is taken where nothing else waits.
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::error::SearchError;
use crate::flow::{Flow, side_by_side, times, with_spare};
use crate::job::{Kind, Started, Take, Waiting};
use crate::pace::Course;
use crate::searched::Searched;

/// Requests of a flow that wait at most where the caller does not wait for a place. By hand: it bounds memory.
const PLACES: usize = 1024;

/// What threads take before a request that is handed in now, as the time that it is expected to take one query at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Backlog {
    /// Queries of others before its first.
    pub before_first: Duration,
    /// Queries of others before its last.
    pub before_last: Duration,
    /// How late it would make a batch that waits, beyond what that has to spare; zero where each still ends in time.
    pub makes_late: Duration,
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
    /// Of each index one for each kind and course, once such requests have come.
    flows: Vec<Flow>,
    /// What the flow had taken whose turn was last.
    clock: Duration,
    /// Pieces that all threads work on at once.
    slots: usize,
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
        waiting.min_by_key(|flow| (flow.kind == Kind::Idle, flow.taken, flow.kind, flow.index, flow.course))
    }

    /// The flow of requests of a kind and course to an index.
    fn flow(&mut self, index: usize, kind: Kind, course: Course) -> &mut Flow {
        let is_it = |flow: &Flow| (flow.index, flow.kind, flow.course) == (index, kind, course);
        let at = self.flows.iter().position(is_it).unwrap_or_else(|| {
            self.flows.push(Flow::new(index, kind, course));
            self.flows.len() - 1
        });
        &mut self.flows[at]
    }

    /// Each other flow has as much work done as this one until then, or has ended.
    fn backlog(&mut self, searched: &Searched, queries: usize, course: Course) -> Backlog {
        let (piece, kind) = (searched.pace.query(course), Kind::of(queries));
        let (first, last) = self.flow(searched.number, kind, course).before(queries, piece);
        let own = if kind == Kind::Batch { times(piece, queries) } else { Duration::ZERO };
        let is_own = |flow: &Flow| (flow.index, flow.kind, flow.course) == (searched.number, kind, course);
        let others = self.flows.iter().filter(|flow| !is_own(flow) && flow.kind != Kind::Idle);
        let mut backlog = Backlog { before_first: first, before_last: last, makes_late: Duration::ZERO };
        for waiting in others.map(Flow::waiting) {
            backlog.before_first += waiting.min(first);
            backlog.before_last += waiting.min(last + own);
        }
        if kind == Kind::Batch {
            let coming = |flow: &Flow| if is_own(flow) { (queries, own) } else { (0, Duration::ZERO) };
            backlog.makes_late = self.late(coming);
        }
        backlog
    }

    /// How late the latest batch would be with what is `coming` to each flow, in pieces and as work. One that is past its deadline takes no
    /// more time.
    fn late(&self, coming: impl Fn(&Flow) -> (usize, Duration)) -> Duration {
        let now = Instant::now();
        let busy = self.flows.iter().filter(|flow| flow.kind != Kind::Idle);
        let work: Vec<_> = busy.map(|flow| (flow, flow.waiting() + coming(flow).1)).collect();
        let batches = work.iter().enumerate().filter(|(_, (flow, _))| flow.kind == Kind::Batch);
        let lateness = batches.flat_map(|(at, (flow, _))| {
            let others = work.iter().enumerate().filter(move |&(other, _)| other != at);
            let ends = flow.ends(coming(flow).0).filter(move |&(_, deadline)| deadline > now);
            ends.map(move |(own, deadline)| {
                let all = own + others.clone().map(|(_, (_, waiting))| *waiting.min(&own)).sum::<Duration>();
                with_spare(side_by_side(all, self.slots))
                    .saturating_sub(deadline.saturating_duration_since(now))
            })
        });
        lateness.max().unwrap_or_default()
    }
}

impl Queue {
    /// A queue that `threads` threads are about to serve, which work on `slots` pieces at once.
    pub(crate) fn new(threads: usize, slots: usize) -> Queue {
        let (flows, clock) = (Vec::new(), Duration::ZERO);
        let state = State { flows, clock, slots, sleeping: 0, threads, closed_indexes: 0, closed: false };
        Queue { state: Mutex::new(state), work: Condvar::new(), closing: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing in a critical section panics halfway.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Refuses what [`Queue::push`] would refuse of some queries now, for callers with work to do before.
    pub(crate) fn check_place(
        &self,
        searched: &Searched,
        queries: usize,
        course: Course,
        limited: bool,
    ) -> Result<(), SearchError> {
        let mut state = self.lock();
        if state.threads == 0 || state.closed {
            return Err(SearchError::Closed);
        }
        let waiting = state.flow(searched.number, Kind::of(queries), course).len();
        if limited && waiting >= PLACES {
            return Err(SearchError::Overloaded { queue: PLACES });
        }
        Ok(())
    }

    /// Takes in a request; `limited` refuses it when too many wait.
    pub(crate) fn push(&self, job: Arc<dyn Waiting>, limited: bool) -> Result<(), SearchError> {
        let mut state = self.lock();
        if state.threads == 0 || state.closed {
            return Err(SearchError::Closed);
        }
        let (queries, clock) = (job.pieces(), state.clock);
        let flow = state.flow(job.searched().number, job.kind(), job.course());
        if limited && flow.len() >= PLACES {
            return Err(SearchError::Overloaded { queue: PLACES });
        }
        if flow.is_empty() {
            // Turns that were not used are not made up for.
            flow.taken = flow.taken.max(clock);
        }
        flow.push(job);
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
            let (piece, rest) = self.take(state);
            state = rest;
            match piece {
                Some(started) => return Next::Piece(started),
                // While a reply was given, an index was closed.
                None if *seen != state.closed_indexes => continue,
                None if state.closed && sleep => return Next::End,
                None if !sleep => return Next::Nothing,
                None => {}
            }
            state.sleeping += 1;
            state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.sleeping -= 1;
        }
    }

    /// A piece besides the `taken` that a thread has just taken, unless another thread would start it sooner: none sleeps, and
    /// enough wait for each to take as many.
    pub(crate) fn another(&self, taken: usize) -> Option<Started> {
        let state = self.lock();
        let waiting: usize = state.flows.iter().map(Flow::pieces).sum();
        let others = (taken + 1) * state.threads.saturating_sub(1);
        if state.sleeping > 0 || waiting <= others {
            return None;
        }
        self.take(state).0
    }

    /// Takes the piece whose turn it is, if one waits.
    fn take<'a>(&'a self, mut state: MutexGuard<'a, State>) -> (Option<Started>, MutexGuard<'a, State>) {
        let slots = state.slots;
        while let Some(flow) = state.pick() {
            let (taken, kind) = (flow.taken, flow.kind);
            let Some(mut turn) = flow.pop(slots) else { unreachable!("a flow is picked that is not empty") };
            match Arc::clone(&turn.job).take() {
                Take::Piece { started, more } => {
                    flow.charge(turn.job.searched().pace.query(turn.job.course()));
                    if more {
                        turn.left -= 1;
                        flow.give_back(turn);
                    }
                    if kind != Kind::Idle {
                        state.clock = taken;
                    }
                    return (Some(started), state);
                }
                Take::Over(reply) => {
                    // A reply is the caller's own code.
                    drop(state);
                    drop(turn);
                    if let Some(reply) = reply {
                        reply();
                    }
                    state = self.lock();
                }
            }
        }
        (None, state)
    }

    /// What is ahead of a request of that many queries.
    pub(crate) fn backlog(&self, searched: &Searched, queries: usize, course: Course) -> Backlog {
        self.lock().backlog(searched, queries, course)
    }

    /// Gives up idle work of an index that is closing: it might wait for ever.
    pub(crate) fn give_up_idle(&self, number: usize) {
        let mut state = self.lock();
        let waiting: Vec<Arc<dyn Waiting>> =
            state.flow(number, Kind::Idle, Course::default()).drain().collect();
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
mod tests;
