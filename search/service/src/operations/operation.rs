//! One operation: how far it is, and how it ended.
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::progress::Progress;
use crate::refusal::Refusal;
use crate::served::Summary;

/// What an operation does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Load,
    Switch,
    Verify,
}

/// What came out.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Outcome {
    Opened(Opened),
    Verified(Verified),
}

/// An index that was opened.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Opened {
    pub(crate) now: Summary,
    /// The version that it took the place of.
    pub(crate) before: Option<u64>,
    /// Of a switch: why a server that starts would not open this version; none where it would.
    pub(crate) not_remembered: Option<String>,
}

/// What verifying found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Verified {
    pub(crate) version: u64,
    /// Bytes that are whole; 0 with a problem.
    pub(crate) bytes: u64,
    /// The first thing found wrong.
    pub(crate) problem: Option<String>,
}

/// Where an operation is.
#[derive(Debug, Clone)]
pub(crate) enum State {
    Running,
    Done(Outcome),
    /// Why nothing came out.
    Failed(Arc<Refusal>),
    Cancelled,
}

/// An operation that was started.
#[derive(Debug)]
pub(crate) struct Operation {
    pub(crate) id: u64,
    pub(crate) kind: Kind,
    /// Name of the index.
    pub(crate) index: String,
    pub(crate) progress: Arc<Progress>,
    begun: Instant,
    /// How long it took, once it has ended.
    state: watch::Sender<(State, Option<Duration>)>,
    cancelled: watch::Sender<bool>,
}

impl Operation {
    pub(super) fn new(id: u64, kind: Kind, index: String) -> Operation {
        Operation {
            id,
            kind,
            index,
            progress: Arc::default(),
            begun: Instant::now(),
            state: watch::Sender::new((State::Running, None)),
            cancelled: watch::Sender::new(false),
        }
    }

    pub(crate) fn state(&self) -> State {
        self.state.borrow().0.clone()
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.state.borrow().1.is_some()
    }

    /// Time since it began; what it took once it has ended.
    pub(crate) fn time(&self) -> Duration {
        self.state.borrow().1.unwrap_or_else(|| self.begun.elapsed())
    }

    /// Gives it up. One that has ended stays as it is.
    pub(crate) fn cancel(&self) {
        self.cancelled.send_replace(true);
    }

    /// Returns once it was given up.
    pub(super) async fn was_cancelled(&self) {
        // The sender lives in `self`, so that waiting cannot fail.
        drop(self.cancelled.subscribe().wait_for(|&cancelled| cancelled).await);
    }

    /// Returns once it has ended.
    pub(crate) async fn ended(&self) {
        drop(self.state.subscribe().wait_for(|(_, took)| took.is_some()).await);
    }

    pub(super) fn end(&self, state: State) {
        self.state.send_replace((state, Some(self.begun.elapsed())));
    }
}
