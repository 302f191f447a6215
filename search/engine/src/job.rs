//! Queries that were handed in together: workers take them one by one, the last one done replies.
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::{Answer, ResolvedParams, SearchError};

/// What is called with the answers, on the worker that found the last of them.
pub(crate) type Reply = Box<dyn FnOnce(Result<Vec<Answer>, SearchError>) + Send>;

/// A batch of queries on their way.
pub(crate) struct Job {
    /// Query rows, back to back.
    pub(crate) rows: Vec<u8>,
    pub(crate) row_bytes: usize,
    pub(crate) params: ResolvedParams,
    pub(crate) deadline: Option<Instant>,
    pub(crate) stop: Option<Arc<AtomicBool>>,
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

impl JobState {
    pub(crate) fn new(queries: usize, reply: Reply) -> JobState {
        let answers = vec![Answer::default(); queries];
        JobState { next: 0, running: 0, answered: 0, answers, failed: None, reply: Some(reply) }
    }
}

impl Job {
    fn lock(&self) -> MutexGuard<'_, JobState> {
        // Each critical section leaves the counts true at every step.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The row of one query.
    pub(crate) fn row(&self, query: usize) -> &[u8] {
        &self.rows[query * self.row_bytes..(query + 1) * self.row_bytes]
    }

    /// Takes the next query, unless there is none, or no more of them is wanted.
    pub(crate) fn take(&self) -> Option<usize> {
        let mut state = self.lock();
        let queries = state.answers.len();
        if state.next == queries || state.failed.is_some() {
            return None;
        }
        let Some(end) = self.end() else {
            state.next += 1;
            state.running += 1;
            return Some(state.next - 1);
        };
        state.failed = Some(end.error(state.answered, queries));
        reply_if_done(state);
        None
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
    pub(crate) fn finish(&self, query: usize, answer: Answer) {
        let mut state = self.lock();
        state.running -= 1;
        state.answered += 1;
        state.answers[query] = answer;
        reply_if_done(state);
    }

    /// Gives up a query that was taken because no more of the job is wanted.
    pub(crate) fn abandon(&self, end: End) {
        let (answered, queries) = {
            let state = self.lock();
            (state.answered, state.answers.len())
        };
        self.fail(end.error(answered, queries));
    }

    /// Gives up a query that was taken, and with it the job.
    pub(crate) fn fail(&self, error: SearchError) {
        let mut state = self.lock();
        state.running -= 1;
        state.failed.get_or_insert(error);
        reply_if_done(state);
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

/// Replies when nothing is running and nothing more will be taken.
fn reply_if_done(mut state: MutexGuard<'_, JobState>) {
    let over = state.next == state.answers.len() || state.failed.is_some();
    if state.running > 0 || !over {
        return;
    }
    let Some(reply) = state.reply.take() else { return };
    // Without answers to fill, nothing is left to be taken.
    let answers = std::mem::take(&mut state.answers);
    state.next = 0;
    let result = match state.failed.take() {
        Some(error) => Err(error),
        None => Ok(answers),
    };
    drop(state);
    reply(result);
}

impl Drop for Job {
    /// A job that no worker can finish any more, because they broke down, still gets its reply.
    fn drop(&mut self) {
        if let Some(reply) = self.lock().reply.take() {
            reply(Err(SearchError::Closed));
        }
    }
}
