//! A connection: the calls on it, the bytes that they hold, and when it has to end.
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::unread::Unread;
use super::{Ledger, SMALL_SHARE};
use crate::audit::Audit;
use crate::limits::Limits;
use crate::method::Method;
use crate::metrics::Metrics;
use crate::peer::Peer;
use crate::refusal::Refusal;

/// Health watches that one connection may have open.
const WATCHES_MAX: usize = 16;

/// Why a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// The server stops.
    Stopping,
    /// It is as old as connections get.
    Age,
    /// It had no call for too long.
    Idle,
    /// It made none at all for too long.
    Silent,
    /// It left an answer unread for too long.
    Unread,
}

/// A connection in the ledger.
pub(crate) struct Connection {
    ledger: Arc<Ledger>,
    /// Who is at the other end.
    pub(crate) peer: Peer,
    opened: Instant,
    /// Bytes held, without those of small calls, and those of small calls.
    held: AtomicUsize,
    small_held: AtomicUsize,
    watches: AtomicUsize,
    calls: Mutex<Calls>,
    end: watch::Sender<Option<End>>,
}

struct Calls {
    /// By their numbers, those of calls that are over included.
    open: Vec<Weak<Unread>>,
    /// Numbers of calls that are over.
    free: Vec<usize>,
    /// Calls that keep the connection alive.
    active: usize,
    /// When the last of them came or went.
    since: Instant,
    /// When the last of all calls came or went, none before the first.
    last: Option<Instant>,
}

impl Connection {
    pub(crate) fn new(ledger: Arc<Ledger>, peer: impl Into<Peer>) -> Arc<Connection> {
        let opened = Instant::now();
        let calls = Calls { open: Vec::new(), free: Vec::new(), active: 0, since: opened, last: None };
        Arc::new(Connection {
            ledger,
            peer: peer.into(),
            opened,
            held: AtomicUsize::new(0),
            small_held: AtomicUsize::new(0),
            watches: AtomicUsize::new(0),
            calls: Mutex::new(calls),
            end: watch::Sender::new(None),
        })
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.ledger.limits
    }

    pub(super) fn metrics(&self) -> &Metrics {
        &self.ledger.metrics
    }

    pub(super) fn audit(&self) -> &Audit {
        &self.ledger.audit
    }

    /// Bytes that its calls may hold.
    pub(super) fn share(&self) -> usize {
        self.ledger.share()
    }

    /// Bytes that its calls hold, without those of small calls.
    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, Calls> {
        // Each critical section leaves the counts true at every step.
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Enters a call that came at `arrival`, of which `unread` is what its client has not taken in: its number.
    pub(super) fn begin(&self, unread: &Arc<Unread>, is_active: bool, arrival: Instant) -> usize {
        let mut calls = self.lock();
        calls.last = Some(arrival);
        calls.active += usize::from(is_active);
        if is_active {
            calls.since = arrival;
        }
        let unread = Arc::downgrade(unread);
        let free = calls.free.pop();
        match free.and_then(|number| calls.open.get_mut(number)) {
            Some(place) => *place = unread,
            None => calls.open.push(unread),
        }
        free.unwrap_or(calls.open.len() - 1)
    }

    pub(super) fn finish(&self, number: usize, is_active: bool) {
        let mut calls = self.lock();
        if let Some(place) = calls.open.get_mut(number) {
            *place = Weak::new();
        }
        calls.free.push(number);
        calls.active -= usize::from(is_active);
        let now = Instant::now();
        calls.last = Some(now);
        if is_active {
            calls.since = now;
        }
    }

    /// Enters bytes of a call of `method`, which have to be given back even if they do not fit.
    pub(super) fn take(&self, method: Method, bytes: usize) -> Result<(), Refusal> {
        if method.is_small() {
            let (held, limit) = (self.small_held.fetch_add(bytes, Ordering::Relaxed) + bytes, SMALL_SHARE);
            self.ledger.metrics.in_flight_bytes.inc_by(bytes as i64); // CAST: bytes in memory
            return if held <= limit {
                Ok(())
            } else {
                Err(Refusal::Bytes { whose: "this connection without a token", held, limit })
            };
        }
        let (held, all) = (self.held.fetch_add(bytes, Ordering::Relaxed) + bytes, self.ledger.enter(bytes));
        let limit = self.ledger.share();
        if held > limit {
            return Err(Refusal::Bytes { whose: "this connection", held, limit });
        }
        self.ledger.check(all)
    }

    pub(super) fn give(&self, method: Method, bytes: usize) {
        if method.is_small() {
            self.ledger.metrics.in_flight_bytes.dec_by(bytes as i64); // CAST: bytes in memory
            self.small_held.fetch_sub(bytes, Ordering::Relaxed);
        } else {
            self.held.fetch_sub(bytes, Ordering::Relaxed);
            self.ledger.give(bytes);
        }
    }

    pub(super) fn watch(&self) -> Result<(), Refusal> {
        let watches = self.watches.fetch_add(1, Ordering::Relaxed) + 1;
        if watches <= WATCHES_MAX { Ok(()) } else { Err(Refusal::Watches { limit: WATCHES_MAX }) }
    }

    pub(super) fn unwatch(&self) {
        self.watches.fetch_sub(1, Ordering::Relaxed);
    }

    /// Why it should have ended by `now`, if it should.
    pub(crate) fn over(&self, now: Instant) -> Option<End> {
        let limits = &self.ledger.limits;
        if now.saturating_duration_since(self.opened) >= limits.age_max {
            return Some(End::Age);
        }
        let calls = self.lock();
        if calls.last.is_none() && now.saturating_duration_since(self.opened) >= limits.first_call_max {
            return Some(End::Silent);
        }
        if calls.active == 0 && now.saturating_duration_since(calls.since) >= limits.idle_max {
            return Some(End::Idle);
        }
        let mut open = calls.open.iter().filter_map(Weak::upgrade);
        open.any(|unread| unread.is_over(now, limits.request_max)).then_some(End::Unread)
    }

    /// Whether it has no call, and had none for `time` before `now`: nothing of an answer is on its way.
    pub(crate) fn is_quiet(&self, now: Instant, time: Duration) -> bool {
        let calls = self.lock();
        let is_free = calls.open.len() == calls.free.len();
        is_free && calls.last.is_none_or(|last| now.saturating_duration_since(last) >= time)
    }

    /// Tells the calls that its end has come.
    pub(crate) fn end(&self, end: End) {
        self.end.send_replace(Some(end));
    }

    /// Returns once its end has come.
    pub(crate) async fn ended(&self) -> Refusal {
        // The sender lives in `self`, so that waiting cannot fail.
        let end = self.end.subscribe().wait_for(Option::is_some).await.ok().and_then(|end| *end);
        match end {
            Some(End::Age) => Refusal::Ending("as old as connections get"),
            Some(End::Idle | End::Silent) => Refusal::Ending("idle"),
            Some(End::Unread) => Refusal::Ending("leaving answers unread"),
            Some(End::Stopping) | None => Refusal::Stopping,
        }
    }
}
