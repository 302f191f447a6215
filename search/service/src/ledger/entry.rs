//! One call in the ledger.
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use http::HeaderMap;
use tokio::time::{sleep_until, timeout_at};
use tonic::Code;

use super::connection::Connection;
use super::unread::Unread;
use crate::deadline::timeout_of;
use crate::method::Method;
use crate::metrics::code_name;
use crate::refusal::Refusal;
use crate::stopping::Work;
use crate::tokens::{ANYBODY, Denied, Pass, Scope};

/// Bytes that a call holds besides its headers and messages: its stream of HTTP/2, its tasks. 11 600 to 13 800 were measured.
const OVERHEAD: usize = 12 << 10;
/// Bytes that a query of a stream holds besides its message: its task.
const QUERY_OVERHEAD: usize = 4 << 10;

/// A call, from its headers to its last byte. Counted, and its bytes given back, when the last owner drops it.
pub(crate) struct Entry {
    pub(super) connection: Arc<Connection>,
    number: usize,
    pub(crate) method: Method,
    /// Whether it keeps the connection alive.
    is_active: bool,
    arrival: Instant,
    deadline: Option<Instant>,
    /// Bytes held in all; those of the request; those kept for answers that are on their way.
    held: AtomicUsize,
    request: AtomicUsize,
    answers: AtomicUsize,
    /// Bytes of the messages of a stream that were handed on and not taken over, in their order.
    messages: Mutex<VecDeque<usize>>,
    /// Whether it is entered as a health watch.
    is_watch: AtomicBool,
    /// Whether its time to an answer, and its end, have been counted.
    is_timed: AtomicBool,
    is_counted: AtomicBool,
    unread: Arc<Unread>,
    /// Set when it is let in.
    let_in: OnceLock<LetIn>,
}

/// What a call was let in with.
pub(crate) struct LetIn {
    /// Its caller's name in the audit log.
    pub(crate) caller: Arc<str>,
    pub(crate) pass: Pass,
    /// Keeps the server from stopping before the last byte; none of a call that ends with its connection.
    pub(crate) _work: Option<Work>,
}

impl Entry {
    /// Enters a call whose headers have come; `is_allowed` if its token gives it the scope that it needs.
    pub(crate) fn open(
        connection: &Arc<Connection>,
        method: Method,
        headers: &HeaderMap,
        is_allowed: bool,
    ) -> Arc<Entry> {
        let arrival = Instant::now();
        let longest = method.longest(timeout_of(headers), connection.limits());
        let is_active = is_allowed && !method.is_small();
        // A time beyond what clocks can tell is no limit.
        let deadline = longest.and_then(|longest| arrival.checked_add(longest));
        let unread = Arc::new(Unread::new(arrival, deadline.filter(|_| !method.is_stream())));
        Arc::new(Entry {
            connection: Arc::clone(connection),
            number: connection.begin(&unread, is_active, arrival),
            method,
            is_active,
            arrival,
            deadline,
            held: AtomicUsize::new(0),
            request: AtomicUsize::new(0),
            answers: AtomicUsize::new(0),
            messages: Mutex::default(),
            is_watch: AtomicBool::new(false),
            is_timed: AtomicBool::new(false),
            is_counted: AtomicBool::new(false),
            unread,
            let_in: OnceLock::new(),
        })
    }

    /// Lets it in, once.
    pub(crate) fn let_in(&self, with: LetIn) {
        let first = self.let_in.set(with).is_ok();
        debug_assert!(first, "a call is let in by its guard alone");
    }

    /// Writes down that it was not let in.
    pub(crate) fn turned_away(&self, why: &Denied) {
        let Connection { peer, .. } = &*self.connection;
        self.connection.audit().refused(peer.address, self.method.name(), why);
    }

    /// Returns once it would not be let in any more: why.
    pub(crate) async fn revoked(&self) -> Refusal {
        match self.let_in.get() {
            Some(LetIn { pass, .. }) => Refusal::Denied(pass.revoked().await),
            None => std::future::pending().await,
        }
    }

    /// Takes what the call holds from its beginning, if that fits.
    pub(crate) fn admit(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        if self.method == Method::HealthWatch {
            self.is_watch.store(true, Ordering::Relaxed);
            self.connection.watch()?;
        }
        let bytes = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum::<usize>();
        self.take(OVERHEAD + bytes)
    }

    /// When it has to be over, if it has to.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Returns at its deadline, or when its token is taken away: why. The end of its connection lets it finish.
    pub(crate) async fn revoked_or_late(&self) -> Refusal {
        let deadline = async {
            match self.deadline {
                Some(deadline) => sleep_until(deadline.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            refusal = self.revoked() => refusal,
            () = deadline => Refusal::Deadline,
        }
    }

    /// As [`Entry::revoked_or_late`], and when its connection ends.
    pub(crate) async fn over(&self) -> Refusal {
        tokio::select! {
            refusal = self.connection.ended() => refusal,
            refusal = self.revoked_or_late() => refusal,
        }
    }

    /// Returns when its connection ends: why.
    pub(crate) async fn ended(&self) -> Refusal {
        self.connection.ended().await
    }

    /// What `answer` gives, or why it took too long. A call that does not keep its connection alive ends with it; one that
    /// may go on for hours ends when its token is taken away.
    pub(crate) async fn within<T>(&self, answer: impl Future<Output = T>) -> Result<T, Refusal> {
        match self.method.scope() {
            _ if self.method.is_small() => tokio::select! {
                answer = answer => Ok(answer),
                refusal = self.over() => Err(refusal),
            },
            Some(Scope::Admin) => tokio::select! {
                answer = self.in_time(answer) => answer,
                refusal = self.revoked() => Err(refusal),
            },
            _ => self.in_time(answer).await,
        }
    }

    async fn in_time<T>(&self, answer: impl Future<Output = T>) -> Result<T, Refusal> {
        match self.deadline {
            Some(deadline) => timeout_at(deadline.into(), answer).await.map_err(|_| Refusal::Deadline),
            None => Ok(answer.await),
        }
    }

    /// Longest time for one message to come.
    pub(super) fn message_time(&self) -> Duration {
        self.connection.limits().request_max
    }

    /// Bytes that all calls of its connection may hold.
    pub(super) fn share(&self) -> usize {
        self.connection.share()
    }

    /// Largest message that it takes, in bytes.
    pub(super) fn message_bytes(&self) -> usize {
        self.method.message_bytes(self.connection.limits())
    }

    /// Takes bytes that have come or were made. What does not fit is held all the same, until the call ends.
    pub(super) fn take(&self, bytes: usize) -> Result<(), Refusal> {
        self.held.fetch_add(bytes, Ordering::Relaxed);
        self.connection.take(self.method, bytes)
    }

    /// Takes bytes of a request.
    pub(super) fn take_request(&self, bytes: usize) -> Result<(), Refusal> {
        self.request.fetch_add(bytes, Ordering::Relaxed);
        self.take(bytes)
    }

    /// Takes room for what a message of `bytes` bytes, which were taken, becomes.
    pub(super) fn take_message(&self, bytes: usize, decoded: usize) -> Result<(), Refusal> {
        let more = if self.method.is_stream() { decoded + QUERY_OVERHEAD } else { decoded };
        self.take_request(more)?;
        if self.method.is_stream() {
            self.messages().push_back(bytes + more);
        }
        Ok(())
    }

    fn messages(&self) -> MutexGuard<'_, VecDeque<usize>> {
        // Whole at every step.
        self.messages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes over the next message of a stream, once it is decoded: its bytes are held until they are dropped.
    pub(crate) fn message(self: &Arc<Self>) -> Held {
        let bytes = self.messages().pop_front().unwrap_or_default();
        self.request.fetch_sub(bytes, Ordering::Relaxed);
        Held { entry: Arc::clone(self), bytes }
    }

    pub(super) fn give(&self, bytes: usize) {
        self.held.fetch_sub(bytes, Ordering::Relaxed);
        self.connection.give(self.method, bytes);
    }

    /// The name of its caller; that of anybody before it is let in.
    pub(crate) fn caller(&self) -> &Arc<str> {
        self.let_in.get().map_or(&ANYBODY, |let_in| &let_in.caller)
    }

    /// Gives back the bytes of a request but for `left` of them, and of messages that were not taken over: nobody has them any
    /// more.
    pub(crate) fn give_request(&self, left: usize) {
        self.messages().clear();
        let held = self.request.swap(left, Ordering::Relaxed);
        self.give(held - left);
    }

    /// Keeps room for an answer of at most `bytes` bytes, before it is searched for. Where they never fit, `field` is the one that
    /// asks for them.
    pub(crate) fn room(&self, bytes: usize, field: &'static str) -> Result<Room<'_>, Refusal> {
        let limit = self.share();
        if bytes > limit {
            let message =
                format!("an answer of up to {bytes} bytes, the server's limit for a connection is {limit}");
            return Err(Refusal::field(field, message));
        }
        self.hold(bytes)
    }

    /// Holds `bytes` bytes of what the call works with.
    pub(crate) fn hold(&self, bytes: usize) -> Result<Room<'_>, Refusal> {
        let room = Room { entry: self, bytes };
        self.take(bytes)?;
        Ok(room)
    }

    /// Takes the bytes of an answer out of the room that was kept; what goes beyond is held all the same.
    pub(super) fn take_answer(&self, bytes: usize) {
        let kept = self.answers.load(Ordering::Relaxed).min(bytes);
        self.answers.fetch_sub(kept, Ordering::Relaxed);
        if bytes > kept {
            // The answer is there already: refusing it would not make it smaller.
            drop(self.take(bytes - kept));
        }
    }

    /// Counts the time to its answer, once.
    pub(super) fn answered(&self) {
        if !self.is_timed.swap(true, Ordering::Relaxed) {
            let seconds = self.arrival.elapsed().as_secs_f64();
            self.connection.metrics().answered_in(self.method, seconds);
        }
    }

    /// Counts the call by the status that it ends with, once.
    pub(crate) fn count(&self, code: Code) {
        self.answered();
        if !self.is_counted.swap(true, Ordering::Relaxed) {
            self.connection.metrics().ended(self.method, code);
            if let Some(LetIn { caller, .. }) = self.let_in.get()
                && self.method.scope() == Some(Scope::Admin)
            {
                let Connection { peer, .. } = &*self.connection;
                let outcome = code_name(code);
                self.connection.audit().action(peer.address, caller, self.method.name(), outcome);
            }
        }
    }

    /// A piece of an answer was handed to the connection.
    pub(super) fn handed_over(&self) {
        self.unread.handed_over();
    }

    /// A piece was written, or thrown away.
    pub(super) fn written(&self) {
        self.unread.written();
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        // Nobody counted it: the client gave up, at the latest when its time was over.
        let is_late = self.deadline.is_some_and(|deadline| Instant::now() >= deadline);
        self.count(if is_late { Code::DeadlineExceeded } else { Code::Cancelled });
        if *self.is_watch.get_mut() {
            self.connection.unwatch();
        }
        self.connection.give(self.method, *self.held.get_mut());
        self.connection.finish(self.number, self.is_active);
    }
}

/// Bytes that are held for a call. Given back when dropped.
pub(crate) struct Held {
    pub(super) entry: Arc<Entry>,
    pub(super) bytes: usize,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.entry.give(self.bytes);
    }
}

/// Room for an answer, or for what a call works with. Given back when dropped.
pub(crate) struct Room<'a> {
    entry: &'a Entry,
    bytes: usize,
}

impl Room<'_> {
    /// Takes over the room that `other` keeps.
    pub(crate) fn join(&mut self, mut other: Room<'_>) {
        self.bytes += std::mem::take(&mut other.bytes);
    }

    /// The answer is there and has `bytes` bytes, which are held until it is written.
    pub(crate) fn settle(mut self, bytes: usize) {
        let kept = bytes.min(self.bytes);
        self.bytes -= kept;
        self.entry.answers.fetch_add(kept, Ordering::Relaxed);
    }
}

impl Drop for Room<'_> {
    fn drop(&mut self) {
        self.entry.give(self.bytes);
    }
}
