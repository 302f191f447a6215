//! The ledger of calls: what each holds and how long it may, from its first header to its last byte.
//!
//! A call is an [`Entry`]. Its request is read through [`Incoming`] and its answer is written through [`Outgoing`], so
//! that bytes are counted where a peer can make the server hold them: in a message that is not complete, in what it becomes when
//! it is decoded, in a search under way, and in an answer that nobody reads. An entry of a [`Connection`] ends at its deadline, a connection at its
//! age, when idle, or when it leaves an answer unread. Promises: bytes held stay under `Limits::in_flight_bytes`, those
//! of one connection under its share; every call is counted once, by the status it ended with.
mod connection;
mod entry;
mod framing;
mod incoming;
mod outgoing;
mod unread;
mod weight;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

pub(crate) use connection::{Connection, End};
pub(crate) use entry::{Entry, LetIn, Room};
pub(crate) use incoming::Incoming;
pub(crate) use outgoing::Outgoing;
#[cfg(any(test, feature = "testing"))]
pub(crate) use weight::weight;

use crate::audit::Audit;
use crate::limits::Limits;
use crate::metrics::Metrics;
use crate::refusal::Refusal;
use crate::throttle::Throttle;

/// Part of all bytes that one connection may hold.
const SHARE: usize = 4;
/// Bytes that calls without a token, and of the reflection service, may hold on one connection. They are not taken from
/// those of all, so that nobody without a token can refuse others.
const SMALL_SHARE: usize = 256 << 10;

/// Time between two lines of the log that connections cannot be accepted.
const NOT_ACCEPTED_EVERY: Duration = Duration::from_secs(60);

/// What all connections hold together.
pub(crate) struct Ledger {
    limits: Limits,
    metrics: Arc<Metrics>,
    audit: Audit,
    /// Bytes held, without those of small calls.
    held: AtomicUsize,
    not_accepted: Throttle,
}

impl Ledger {
    pub(crate) fn new(limits: Limits, metrics: Arc<Metrics>) -> Ledger {
        Ledger {
            limits,
            metrics,
            audit: Audit::default(),
            held: AtomicUsize::new(0),
            not_accepted: Throttle::new(1, NOT_ACCEPTED_EVERY),
        }
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// A connection could not be accepted; logged once a minute.
    pub(crate) fn not_accepted(&self, error: &io::Error) {
        if let Some(kept_back) = self.not_accepted.pass() {
            tracing::warn!(%error, kept_back, "connections cannot be accepted");
        }
    }

    /// Bytes that one connection may hold: a part of all, but room for the largest request, for the numbers that it becomes in a
    /// vector with room for twice their number, and for the largest answer.
    fn share(&self) -> usize {
        let all = self.limits.in_flight_bytes;
        (all / SHARE).max(4 * self.limits.message_bytes).min(all)
    }

    /// Enters bytes, whether they fit or not.
    fn enter(&self, bytes: usize) -> usize {
        self.metrics.in_flight_bytes.inc_by(bytes as i64); // CAST: bytes in memory
        self.held.fetch_add(bytes, Ordering::Relaxed) + bytes
    }

    fn give(&self, bytes: usize) {
        self.metrics.in_flight_bytes.dec_by(bytes as i64); // CAST: bytes in memory
        self.held.fetch_sub(bytes, Ordering::Relaxed);
    }

    fn check(&self, held: usize) -> Result<(), Refusal> {
        let limit = self.limits.in_flight_bytes;
        if held <= limit { Ok(()) } else { Err(Refusal::Bytes { whose: "all connections", held, limit }) }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr, SocketAddr};
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    use http::HeaderMap;
    use tonic::Code;

    use super::*;
    use crate::method::Method;

    const PEER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 1);

    fn connection(limits: Limits) -> Arc<Connection> {
        let metrics = Metrics::new(&mut prometheus_client::registry::Registry::default());
        Connection::new(Arc::new(Ledger::new(limits, metrics)), PEER)
    }

    fn small_limits() -> Limits {
        Limits { in_flight_bytes: 80 << 10, message_bytes: 1 << 10, ..Limits::default() }
    }

    #[test]
    fn bytes_come_back_however_a_call_ends() {
        let connection = connection(small_limits());
        let entry = Entry::open(&connection, Method::Search, &HeaderMap::new(), true);
        entry.admit(&HeaderMap::new()).unwrap();
        entry.take(5000).unwrap();
        let room = entry.room(3000, "k").unwrap();
        room.settle(1000);
        drop(entry.room(2000, "k").unwrap());
        let overhead = connection.held() - 6000;
        assert!(overhead > 10_000 && overhead < 16_000, "{overhead}");
        drop(entry);
        assert_eq!(connection.held(), 0);
        assert_eq!(connection.metrics().in_flight_bytes.get(), 0);
    }

    #[test]
    fn a_connection_has_its_share_and_all_have_theirs() {
        let ledger = {
            let metrics = Metrics::new(&mut prometheus_client::registry::Registry::default());
            Arc::new(Ledger::new(small_limits(), metrics))
        };
        let connections: Vec<_> = (0..5).map(|_| Connection::new(Arc::clone(&ledger), PEER)).collect();
        let open = |at: usize| Entry::open(&connections[at], Method::Search, &HeaderMap::new(), true);
        let entries: Vec<_> = (0..4).map(open).collect();
        let refused = entries[0].take(21 << 10).unwrap_err();
        assert!(matches!(refused, Refusal::Bytes { whose: "this connection", .. }), "{refused}");
        // What was refused is held until the call ends.
        drop(entries);
        let entries: Vec<_> = (0..5).map(open).collect();
        for entry in &entries[..4] {
            entry.take(18 << 10).unwrap();
        }
        let refused = entries[4].take(18 << 10).unwrap_err();
        assert!(matches!(refused, Refusal::Bytes { whose: "all connections", .. }), "{refused}");
    }

    #[test]
    fn small_calls_take_nothing_from_others() {
        let connection = connection(small_limits());
        let health = Entry::open(&connection, Method::HealthCheck, &HeaderMap::new(), true);
        assert!(health.take(SMALL_SHARE + 1).is_err());
        let search = Entry::open(&connection, Method::Search, &HeaderMap::new(), true);
        search.take(18 << 10).unwrap();
        let watch = || Entry::open(&connection, Method::HealthWatch, &HeaderMap::new(), true);
        drop(health);
        let watches: Vec<_> = (0..100).map(|_| watch()).collect();
        let admitted = watches.iter().filter(|watch| watch.admit(&HeaderMap::new()).is_ok()).count();
        assert!((1..=16).contains(&admitted), "{admitted}");
    }

    #[test]
    fn an_answer_that_never_fits_is_no_overload() {
        let connection = connection(small_limits());
        let entry = Entry::open(&connection, Method::Search, &HeaderMap::new(), true);
        let never = entry.room(79 << 10, "ids").map(|_| ()).unwrap_err();
        assert_eq!(never.code(), Code::InvalidArgument);
        assert!(matches!(never, Refusal::Field { field: "ids", .. }), "{never}");
        entry.take(10 << 10).unwrap();
        assert_eq!(entry.room(15 << 10, "k").map(|_| ()).unwrap_err().code(), Code::ResourceExhausted);
    }

    #[test]
    fn a_connection_ends_at_its_limits_with_calls_open() {
        let limits = Limits {
            idle_max: Duration::from_secs(1),
            age_max: Duration::from_secs(5),
            request_max: Duration::from_secs(2),
            ..small_limits()
        };
        let connection = connection(limits);
        let after = |seconds: f64| connection.over(Instant::now() + Duration::from_secs_f64(seconds));
        let watch = Entry::open(&connection, Method::HealthWatch, &HeaderMap::new(), true);
        let stranger = Entry::open(&connection, Method::Search, &HeaderMap::new(), false);
        assert_eq!((after(0.5), after(1.5)), (None, Some(End::Idle)));
        let search = Entry::open(&connection, Method::SearchStream, &HeaderMap::new(), true);
        assert_eq!((after(1.5), after(5.5)), (None, Some(End::Age)));
        search.handed_over();
        assert_eq!((after(1.5), after(2.5)), (None, Some(End::Unread)));
        search.written();
        assert_eq!(after(2.5), None);
        drop((watch, stranger, search));
        assert_eq!(after(1.5), Some(End::Idle));
    }

    #[test]
    fn a_connection_without_a_first_call_ends_sooner() {
        let connection = connection(Limits { first_call_max: Duration::from_secs(2), ..small_limits() });
        let after = |seconds: f64| Instant::now() + Duration::from_secs_f64(seconds);
        let none = Duration::from_secs(5);
        assert_eq!((connection.over(after(1.5)), connection.over(after(2.5))), (None, Some(End::Silent)));
        assert!(connection.is_quiet(after(0.0), none));
        let watch = Entry::open(&connection, Method::HealthWatch, &HeaderMap::new(), false);
        assert!(connection.over(after(2.5)).is_none() && !connection.is_quiet(after(9.0), none));
        drop(watch);
        assert!(connection.over(after(2.5)).is_none());
        // The rest of its answer may be on its way.
        assert!(!connection.is_quiet(after(4.0), none) && connection.is_quiet(after(6.0), none));
    }
}
