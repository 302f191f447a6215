//! Work that was handed in together: workers take it piece by piece, the last one done replies.
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use spandrel_index::Location;

use crate::answer::Answer;
use crate::documents::DocumentTask;
use crate::error::SearchError;
use crate::exact::ExactPieces;
use crate::ids::{FetchRequest, Ids, Piece};
use crate::pace::Course;
use crate::plan::{CollectPlan, QueryPlan};
use crate::searched::{Held, Searched};
use crate::terms::{End, Terms};

/// What is called with the answers, on the worker that found the last of them.
pub(crate) type Reply<A> = Box<dyn FnOnce(Result<Vec<A>, SearchError>) + Send>;

/// Which requests wait together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// Those of one piece, in the order they came.
    Single,
    /// Those of several, in turns.
    Batch,
    /// Those that wait for as long as anything else does.
    Idle,
}

impl Kind {
    pub(crate) fn of(pieces: usize) -> Kind {
        if pieces == 1 { Kind::Single } else { Kind::Batch }
    }
}

/// Work in pieces that workers take one by one.
pub(crate) trait Task: Send + Sync + Sized + 'static {
    /// What a piece gets.
    type Answer: Default + Clone + Send + 'static;

    fn pieces(&self) -> usize;

    /// Which requests it waits with.
    fn kind(&self) -> Kind {
        Kind::of(self.pieces())
    }

    /// By which the time of its pieces is told.
    fn course(&self) -> Course {
        Course::default()
    }

    /// As a worker tells it apart.
    fn started(running: Running<Self>) -> Started;

    /// Microseconds that an answer took, where that says how long the next will take.
    fn latency_us(&self, _answer: &Self::Answer) -> Option<f32> {
        None
    }
}

/// A piece of any task.
pub(crate) enum Started {
    Query(Running<Queries>),
    Fetch(Running<Ids>),
    Exact(Running<ExactPieces>),
    Document(Running<DocumentTask>),
}

impl Started {
    /// The index it works on.
    pub(crate) fn searched(&self) -> &Arc<Searched> {
        match self {
            Started::Query(running) => running.job.searched(),
            Started::Fetch(running) => running.job.searched(),
            Started::Exact(running) => running.job.searched(),
            Started::Document(running) => running.job.searched(),
        }
    }

    /// The query that it is, where it is one to that index.
    pub(crate) fn query_of(&self, index: usize) -> Option<&Running> {
        match self {
            Started::Query(running) if running.job.searched().number == index => Some(running),
            _ => None,
        }
    }

    /// Its time begins now: it waited for others that were taken with it.
    pub(crate) fn begin(&mut self) {
        let started = match self {
            Started::Query(running) => &mut running.started,
            Started::Fetch(running) => &mut running.started,
            Started::Exact(running) => &mut running.started,
            Started::Document(running) => &mut running.started,
        };
        *started = Instant::now();
    }

    /// Gives it up because the thread cannot go on.
    pub(crate) fn fail(self, error: SearchError) {
        match self {
            Started::Query(running) => running.fail(error),
            Started::Fetch(running) => running.fail(error),
            Started::Exact(running) => running.fail(error),
            Started::Document(running) => running.fail(error),
        }
    }
}

/// Queries to be answered.
pub(crate) struct Queries {
    /// Query rows, back to back.
    pub(crate) rows: Bytes,
    pub(crate) row_bytes: usize,
    /// Their rows in the column, back to back, and the bytes of one; empty where candidates are not compared by it.
    pub(crate) column_rows: Bytes,
    pub(crate) column_row_bytes: usize,
    pub(crate) plan: QueryPlan,
    /// What each query leaves out, ascending; empty where none does.
    pub(crate) left_out: Vec<Vec<Location>>,
}

impl Queries {
    /// The row of one query.
    pub(crate) fn row(&self, query: usize) -> &[u8] {
        &self.rows[query * self.row_bytes..(query + 1) * self.row_bytes]
    }

    /// Rows of which candidates are compared by the vectors that are searched, and which leave nothing out.
    pub(crate) fn new(rows: Bytes, row_bytes: usize, plan: QueryPlan) -> Queries {
        let (column_rows, column_row_bytes, left_out) = (Bytes::new(), 0, Vec::new());
        Queries { rows, row_bytes, column_rows, column_row_bytes, plan, left_out }
    }

    /// The row of one query in the column.
    pub(crate) fn column_row(&self, query: usize) -> Option<&[u8]> {
        let bytes = self.column_row_bytes;
        self.column_rows.get(query * bytes..(query + 1) * bytes).filter(|row| !row.is_empty())
    }
}

impl Task for Queries {
    type Answer = Answer;

    fn pieces(&self) -> usize {
        self.rows.len() / self.row_bytes
    }

    fn course(&self) -> Course {
        match &self.plan.collect {
            CollectPlan::Nearest { .. } | CollectPlan::Tokens { .. } => self.plan.filter_plan().into(),
            CollectPlan::Within(_) => Course::Within,
        }
    }

    fn started(running: Running<Queries>) -> Started {
        Started::Query(running)
    }

    fn latency_us(&self, answer: &Answer) -> Option<f32> {
        Some(answer.latency_us)
    }
}

impl Task for Ids {
    type Answer = Piece;

    fn pieces(&self) -> usize {
        FetchRequest::pieces(self.ids.len())
    }

    fn started(running: Running<Ids>) -> Started {
        Started::Fetch(running)
    }
}

impl Task for ExactPieces {
    /// Microseconds that it took.
    type Answer = f32;

    fn pieces(&self) -> usize {
        self.pieces.len()
    }

    fn kind(&self) -> Kind {
        if self.idle { Kind::Idle } else { Kind::Batch }
    }

    fn started(running: Running<ExactPieces>) -> Started {
        Started::Exact(running)
    }
}

impl Task for DocumentTask {
    type Answer = Answer;

    fn pieces(&self) -> usize {
        1
    }

    fn course(&self) -> Course {
        Course::Documents
    }

    fn started(running: Running<DocumentTask>) -> Started {
        Started::Document(running)
    }
}

/// A task on its way.
pub(crate) struct Job<T: Task> {
    task: T,
    terms: Terms,
    /// The index.
    held: Held,
    state: Mutex<JobState<T::Answer>>,
}

struct JobState<A> {
    /// First piece that no worker has taken.
    next: usize,
    /// Pieces taken and not answered.
    running: usize,
    answered: usize,
    answers: Vec<A>,
    failed: Option<SearchError>,
    reply: Option<Reply<A>>,
}

/// What a worker gets from a job.
pub(crate) enum Take {
    /// A piece, and whether there are more after it.
    Piece { started: Started, more: bool },
    /// Nothing: no more of the job is wanted. The reply, if nothing of it is running; locks are given back before it is
    /// called.
    Over(Option<Box<dyn FnOnce()>>),
}

/// A job of any task, as it waits in the queue.
pub(crate) trait Waiting: Send + Sync {
    /// The index it works on.
    fn searched(&self) -> &Arc<Searched>;

    fn pieces(&self) -> usize;

    /// Which requests it waits with.
    fn kind(&self) -> Kind;

    /// As [`Task::course`].
    fn course(&self) -> Course;

    /// When it is given up, if ever.
    fn deadline(&self) -> Option<Instant>;

    /// Takes the next piece, unless there is none, or no more of them is wanted.
    fn take(self: Arc<Self>) -> Take;

    /// Gives up the pieces that no worker has taken.
    fn refuse(&self, error: SearchError);

    /// Replies no more: the caller was told otherwise.
    fn forget(&self);
}

/// A reply with what it is called with.
struct Due<A>(Reply<A>, Result<Vec<A>, SearchError>);

impl<A> Due<A> {
    fn call(self) {
        self.0(self.1);
    }
}

impl<A> JobState<A> {
    /// The reply, when nothing is running and nothing more will be taken.
    fn due(&mut self) -> Option<Due<A>> {
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

impl<T: Task> Deref for Job<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.task
    }
}

impl<T: Task> Job<T> {
    pub(crate) fn new(
        task: T,
        searched: &Arc<Searched>,
        terms: Terms,
        reply: Reply<T::Answer>,
    ) -> Arc<Job<T>> {
        let answers = vec![T::Answer::default(); task.pieces()];
        let reply = Some(reply);
        let state = JobState { next: 0, running: 0, answered: 0, answers, failed: None, reply };
        Arc::new(Job { task, terms, held: searched.hold_for_job(), state: Mutex::new(state) })
    }

    fn lock(&self) -> MutexGuard<'_, JobState<T::Answer>> {
        // Each critical section leaves the counts true at every step.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state, then replies if that is due.
    fn update(&self, change: impl FnOnce(&mut JobState<T::Answer>)) {
        let due = {
            let mut state = self.lock();
            change(&mut state);
            state.due()
        };
        if let Some(due) = due {
            due.call();
        }
    }

    /// Why no more of the job is wanted, if so.
    pub(crate) fn end(&self) -> Option<End> {
        self.terms.end()
    }

    /// When the caller gives up.
    pub(crate) fn terms(&self) -> &Terms {
        &self.terms
    }

    /// Hands in the answer to a piece that was taken.
    fn finish(&self, piece: usize, answer: T::Answer) {
        if let Some(micros) = self.task.latency_us(&answer) {
            self.held.searched().pace.of(self.task.course()).took(micros);
        }
        self.update(|state| {
            state.running -= 1;
            state.answered += 1;
            state.answers[piece] = answer;
        });
    }

    /// Gives up a piece that was taken, and with it the job.
    fn fail(&self, error: impl FnOnce(&JobState<T::Answer>) -> SearchError) {
        self.update(|state| {
            state.running -= 1;
            if state.failed.is_none() {
                state.failed = Some(error(state));
            }
        });
    }
}

impl<T: Task> Waiting for Job<T> {
    fn searched(&self) -> &Arc<Searched> {
        self.held.searched()
    }

    fn pieces(&self) -> usize {
        self.task.pieces()
    }

    fn kind(&self) -> Kind {
        self.task.kind()
    }

    fn course(&self) -> Course {
        self.task.course()
    }

    fn deadline(&self) -> Option<Instant> {
        self.terms.deadline
    }

    fn take(self: Arc<Job<T>>) -> Take {
        let mut state = self.lock();
        let pieces = state.answers.len();
        if state.next == pieces || state.failed.is_some() {
            return Take::Over(None);
        }
        if let Some(end) = self.end() {
            state.failed = Some(end.error(state.answered, pieces));
            return Take::Over(state.due().map(|due| Box::new(move || due.call()) as Box<dyn FnOnce()>));
        }
        let number = state.next;
        state.next += 1;
        state.running += 1;
        let more = state.next < pieces;
        drop(state);
        Take::Piece { started: T::started(Running::new(self, number)), more }
    }

    fn refuse(&self, error: SearchError) {
        self.update(|state| {
            state.failed.get_or_insert(error);
        });
    }

    fn forget(&self) {
        self.lock().reply = None;
    }
}

/// A piece that a worker took. Dropped without an end, as a panic drops it, it fails its job: nobody waits for ever.
pub(crate) struct Running<T: Task = Queries> {
    pub(crate) job: Arc<Job<T>>,
    pub(crate) number: usize,
    pub(crate) started: Instant,
    ended: bool,
}

impl Running<Queries> {
    pub(crate) fn row(&self) -> &[u8] {
        self.job.row(self.number)
    }

    pub(crate) fn column_row(&self) -> Option<&[u8]> {
        self.job.column_row(self.number)
    }
}

impl<T: Task> Running<T> {
    fn new(job: Arc<Job<T>>, number: usize) -> Running<T> {
        Running { job, number, started: Instant::now(), ended: false }
    }

    /// Hands in the answer.
    pub(crate) fn finish(mut self, answer: T::Answer) {
        self.ended = true;
        self.job.finish(self.number, answer);
    }

    /// Gives the piece up because no more of its job is wanted.
    pub(crate) fn abandon(mut self, end: End) {
        self.ended = true;
        self.job.fail(|state| end.error(state.answered, state.answers.len()));
    }

    /// Gives the piece up because the thread cannot go on.
    pub(crate) fn fail(mut self, error: SearchError) {
        self.ended = true;
        self.job.fail(|_| error);
    }
}

impl<T: Task> Drop for Running<T> {
    fn drop(&mut self) {
        if !self.ended {
            self.job.fail(|_| SearchError::Broken { reason: "it panicked".to_owned() });
        }
    }
}

impl<T: Task> Drop for Job<T> {
    /// A job that nobody can finish any more still gets its reply.
    fn drop(&mut self) {
        if let Some(reply) = self.lock().reply.take() {
            reply(Err(SearchError::Closed));
        }
    }
}
