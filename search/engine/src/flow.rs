//! Requests of one kind and course to one index that wait for search threads.
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crate::job::{Kind, Waiting};
use crate::pace::Course;

/// Expected work of a piece of an index that answered nothing so far.
const UNKNOWN: Duration = Duration::from_micros(1);

/// Requests that take their turns among themselves.
pub(crate) struct Flow {
    /// Number of the index.
    pub(crate) index: usize,
    pub(crate) kind: Kind,
    pub(crate) course: Course,
    /// With the pieces that no thread has taken; the one whose turn is next comes first.
    jobs: VecDeque<(Arc<dyn Waiting>, usize)>,
    /// Pieces that wait.
    pieces: usize,
    /// Expected work that was taken of it: the flow with the least is next.
    pub(crate) taken: Duration,
}

impl Flow {
    pub(crate) fn new(index: usize, kind: Kind, course: Course) -> Flow {
        Flow { index, kind, course, jobs: VecDeque::new(), pieces: 0, taken: Duration::ZERO }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.jobs.is_empty()
    }

    /// Requests that wait.
    pub(crate) fn len(&self) -> usize {
        self.jobs.len()
    }

    /// Pieces that wait.
    pub(crate) fn pieces(&self) -> usize {
        self.pieces
    }

    pub(crate) fn push(&mut self, job: Arc<dyn Waiting>, pieces: usize) {
        self.pieces += pieces;
        self.jobs.push_back((job, pieces));
    }

    /// The request whose turn it is, with the pieces it has left. Give it back with what is left after a piece was taken.
    pub(crate) fn pop(&mut self) -> Option<(Arc<dyn Waiting>, usize)> {
        let (job, left) = self.jobs.pop_front()?;
        self.pieces -= left;
        Some((job, left))
    }

    /// Counts a piece as taken.
    pub(crate) fn charge(&mut self, piece: Duration) {
        self.taken += piece.max(UNKNOWN);
    }

    /// Expected work that waits, where a piece takes `piece`.
    fn work(&self, piece: Duration) -> Duration {
        times(piece, self.pieces)
    }

    /// Expected work that waits.
    pub(crate) fn waiting(&self) -> Duration {
        self.jobs.front().map_or(Duration::ZERO, |(job, _)| self.work(job.searched().pace.query(self.course)))
    }

    /// Expected work of this flow before the first and before the last piece of a request of `pieces` that comes now. A
    /// request of one piece waits for those before it; one of several for a turn of each other, and by the time of its last
    /// piece each other had the same number of turns or has ended.
    pub(crate) fn before(&self, pieces: usize, piece: Duration) -> (Duration, Duration) {
        match self.kind {
            Kind::Single => (self.work(piece), self.work(piece)),
            Kind::Batch | Kind::Idle => {
                let last: usize = self.jobs.iter().map(|(_, left)| (*left).min(pieces)).sum();
                (times(piece, self.jobs.len()), times(piece, last))
            }
        }
    }

    /// Everything that waits.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = Arc<dyn Waiting>> {
        self.pieces = 0;
        self.jobs.drain(..).map(|(job, _)| job)
    }
}

/// Time that `pieces` pieces take.
pub(crate) fn times(piece: Duration, pieces: usize) -> Duration {
    piece.saturating_mul(u32::try_from(pieces).unwrap_or(u32::MAX))
}
