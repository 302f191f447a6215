//! Queries that were handed in together: workers take them one by one, the last one done replies.
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use bytes::Bytes;

use crate::pace::Pace;
use crate::{Answer, ResolvedParams, SearchError};

/// What is called with the answers, on the worker that found the last of them.
pub(crate) type Reply = Box<dyn FnOnce(Result<Vec<Answer>, SearchError>) + Send>;

/// A batch of queries on their way.
pub(crate) struct Job {
    /// Query rows, back to back.
    pub(crate) rows: Bytes,
    pub(crate) row_bytes: usize,
    pub(crate) params: ResolvedParams,
    /// Positions that each query leaves out, ascending; empty where none does.
    pub(crate) left_out: Vec<Vec<u32>>,
    pub(crate) deadline: Option<Instant>,
    pub(crate) stop: Option<Arc<AtomicBool>>,
    pub(crate) pace: Arc<Pace>,
    pub(crate) state: Mutex<JobState>,
}

pub(crate) struct JobState {
    /// First query that no worker has taken.
    next: usize,
    /// Queries taken and not answered.
    running: usize,
    answered: usize,
    answers: Vec<Answer>,
    failed: Option<SearchError>,
    reply: Option<Reply>,
}

/// What a worker gets from a job.
pub(crate) enum Take {
    /// A query, and whether there are more after it.
    Query { number: usize, more: bool },
    /// Nothing: no more of the job is wanted. The reply, if nothing of it is running.
    Over(Option<Due>),
}

/// A reply with what it is called with. Locks are given back before the call.
#[must_use]
pub(crate) struct Due(Reply, Result<Vec<Answer>, SearchError>);

impl Due {
    pub(crate) fn call(self) {
        self.0(self.1);
    }
}

impl JobState {
    pub(crate) fn new(queries: usize, reply: Reply) -> JobState {
        let answers = vec![Answer::default(); queries];
        JobState { next: 0, running: 0, answered: 0, answers, failed: None, reply: Some(reply) }
    }

    /// The reply, when nothing is running and nothing more will be taken.
    fn due(&mut self) -> Option<Due> {
        let over = self.next == self.answers.len() || self.failed.is_some();
        if self.running > 0 || !over {
            return None;
        }
        let reply = self.reply.take()?;
        // Without answers to fill, nothing is left to be taken.
        let answers = std::mem::take(&mut self.answers);
        self.next = 0;
        let result = match self.failed.take() {
            Some(error) => Err(error),
            None => Ok(answers),
        };
        Some(Due(reply, result))
    }
}

impl Job {
    fn lock(&self) -> MutexGuard<'_, JobState> {
        // Each critical section leaves the counts true at every step.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state, then replies if that is due.
    fn update(&self, change: impl FnOnce(&mut JobState)) {
        let due = {
            let mut state = self.lock();
            change(&mut state);
            state.due()
        };
        if let Some(due) = due {
            due.call();
        }
    }

    /// Queries in it.
    pub(crate) fn queries(&self) -> usize {
        self.rows.len() / self.row_bytes
    }

    /// The row of one query.
    pub(crate) fn row(&self, query: usize) -> &[u8] {
        &self.rows[query * self.row_bytes..(query + 1) * self.row_bytes]
    }

    /// Takes the next query, unless there is none, or no more of them is wanted.
    pub(crate) fn take(&self) -> Take {
        let mut state = self.lock();
        let queries = state.answers.len();
        if state.next == queries || state.failed.is_some() {
            return Take::Over(None);
        }
        let Some(end) = self.end() else {
            state.next += 1;
            state.running += 1;
            return Take::Query { number: state.next - 1, more: state.next < queries };
        };
        state.failed = Some(end.error(state.answered, queries));
        Take::Over(state.due())
    }

    /// Why no more of the job is wanted, if so.
    pub(crate) fn end(&self) -> Option<End> {
        if self.stop.as_ref().is_some_and(|stop| stop.load(Ordering::Relaxed)) {
            return Some(End::Stopped);
        }
        // The clock is read only where it matters.
        self.deadline.filter(|&deadline| Instant::now() >= deadline).map(|_| End::Deadline)
    }

    /// Hands in the answer to a query that was taken.
    fn finish(&self, query: usize, answer: Answer) {
        self.update(|state| {
            state.running -= 1;
            state.answered += 1;
            state.answers[query] = answer;
        });
    }

    /// Gives up a query that was taken, and with it the job.
    fn fail(&self, error: impl FnOnce(&JobState) -> SearchError) {
        self.update(|state| {
            state.running -= 1;
            if state.failed.is_none() {
                state.failed = Some(error(state));
            }
        });
    }

    /// Replies no more: the caller was told otherwise.
    pub(crate) fn forget(&self) {
        self.lock().reply = None;
    }

    /// Gives up the queries that no worker has taken.
    pub(crate) fn refuse(&self, error: SearchError) {
        self.update(|state| {
            state.failed.get_or_insert(error);
        });
    }
}

/// A query that a worker took. Dropped without an end, as a panic drops it, it fails its job: nobody waits for ever.
pub(crate) struct Running {
    pub(crate) job: Arc<Job>,
    pub(crate) number: usize,
    pub(crate) started: Instant,
    ended: bool,
}

impl Running {
    pub(crate) fn new(job: Arc<Job>, number: usize) -> Running {
        Running { job, number, started: Instant::now(), ended: false }
    }

    pub(crate) fn row(&self) -> &[u8] {
        self.job.row(self.number)
    }

    /// Hands in the answer.
    pub(crate) fn finish(mut self, answer: Answer) {
        self.ended = true;
        self.job.pace.took(answer.latency_us);
        self.job.finish(self.number, answer);
    }

    /// Gives the query up because no more of its job is wanted.
    pub(crate) fn abandon(mut self, end: End) {
        self.ended = true;
        self.job.fail(|state| end.error(state.answered, state.answers.len()));
    }

    /// Gives the query up because the thread cannot go on.
    pub(crate) fn fail(mut self, error: SearchError) {
        self.ended = true;
        self.job.fail(|_| error);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.ended {
            self.job.fail(|_| SearchError::Broken { reason: "it panicked".to_owned() });
        }
    }
}

/// Why a job ends early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Stopped,
    Deadline,
}

impl End {
    fn error(self, answered: usize, queries: usize) -> SearchError {
        match self {
            End::Stopped => SearchError::Stopped { answered, queries },
            End::Deadline => SearchError::Deadline { answered, queries },
        }
    }
}

impl Drop for Job {
    /// A job that nobody can finish any more still gets its reply.
    fn drop(&mut self) {
        if let Some(reply) = self.lock().reply.take() {
            reply(Err(SearchError::Closed));
        }
    }
}
