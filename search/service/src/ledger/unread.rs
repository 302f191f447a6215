//! What a client has not taken in of an answer.
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Time after its deadline in which a client may still take in an answer.
const READING: Duration = Duration::from_secs(5);

/// Pieces of an answer that were handed to the connection and are not written yet.
pub(super) struct Unread {
    pieces: Mutex<Pieces>,
    /// Deadline of the call; none of one that goes on for as long as its client likes.
    deadline: Option<Instant>,
}

struct Pieces {
    count: usize,
    /// When the last of them was handed over or written.
    since: Instant,
}

impl Unread {
    pub(super) fn new(arrival: Instant, deadline: Option<Instant>) -> Unread {
        Unread { pieces: Mutex::new(Pieces { count: 0, since: arrival }), deadline }
    }

    fn lock(&self) -> MutexGuard<'_, Pieces> {
        self.pieces.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A piece was handed to the connection.
    pub(super) fn handed_over(&self) {
        let mut pieces = self.lock();
        if pieces.count == 0 {
            pieces.since = Instant::now();
        }
        pieces.count += 1;
    }

    /// A piece was written, or thrown away.
    pub(super) fn written(&self) {
        let mut pieces = self.lock();
        pieces.count -= 1;
        // Of none the time does not matter.
        if pieces.count > 0 {
            pieces.since = Instant::now();
        }
    }

    /// Whether the client has not taken in a piece for as long as `limit`, or by the end of its call.
    pub(super) fn is_over(&self, now: Instant, limit: Duration) -> bool {
        let pieces = self.lock();
        let is_late = self.deadline.is_some_and(|deadline| now >= deadline + READING);
        pieces.count > 0 && (is_late || now.saturating_duration_since(pieces.since) >= limit)
    }
}
