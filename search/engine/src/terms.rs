//! When a caller no longer wants what was handed in.
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use spandrel_index::order::PIECE;

use crate::error::SearchError;

/// Bytes of codes or vectors in memory that a query goes through before it asks whether it is still wanted: about 0.2 ms.
pub(crate) const PIECE_BYTES: usize = 1 << 20;

/// When the caller gives up; by default never.
#[derive(Debug, Clone, Default)]
pub(crate) struct Terms {
    pub(crate) deadline: Option<Instant>,
    /// Set to true to give up.
    pub(crate) stop: Option<Arc<AtomicBool>>,
}

/// Why a job ends early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Stopped,
    Deadline,
    /// Values of attributes take more memory than they may.
    Cells {
        bytes_max: usize,
    },
}

impl Terms {
    /// Why no more is wanted, if so.
    pub(crate) fn end(&self) -> Option<End> {
        if self.stop.as_ref().is_some_and(|stop| stop.load(Ordering::Relaxed)) {
            return Some(End::Stopped);
        }
        // The clock is read only where it matters.
        self.deadline.filter(|&deadline| Instant::now() >= deadline).map(|_| End::Deadline)
    }
}

impl End {
    pub(crate) fn error(self, answered: usize, queries: usize) -> SearchError {
        match self {
            End::Stopped => SearchError::Stopped { answered, queries },
            End::Deadline => SearchError::Deadline { answered, queries },
            End::Cells { bytes_max } => SearchError::Cells { bytes_max },
        }
    }
}

/// Remembers why work on behalf of a caller was given up, so that what it left is not taken for a result.
#[derive(Debug, Default)]
pub(crate) struct Patience {
    terms: Terms,
    end: Option<End>,
}

impl Patience {
    /// With the terms of a caller, who still waits.
    pub(crate) fn of(terms: &Terms) -> Patience {
        Patience { terms: terms.clone(), end: None }
    }

    /// Why the caller gave up, as far as is known.
    pub(crate) fn end(&self) -> Option<End> {
        self.end
    }

    /// Goes through elements, in pieces if they are many: whether it came to an end.
    pub(crate) fn each_piece<'a, T>(&mut self, items: &'a [T], mut work: impl FnMut(&'a [T])) -> bool {
        items.chunks(PIECE).all(|piece| {
            let go_on = items.len() <= PIECE || self.go_on();
            if go_on {
                work(piece);
            }
            go_on
        })
    }

    /// Looks whether the caller still waits.
    pub(crate) fn go_on(&mut self) -> bool {
        self.end = self.end.or_else(|| self.terms.end());
        self.end.is_none()
    }
}
