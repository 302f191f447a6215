//! Requests of one kind and course to one index that wait for search threads.
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::job::{Kind, Waiting};
use crate::pace::Course;

/// Expected work of a piece of an index that answered nothing so far.
const UNKNOWN: Duration = Duration::from_micros(1);

/// Part of its own time that a batch has to spare: what a query takes is a moving mean.
const SPARE: u32 = 8;
/// Time that a batch which takes the turns of others is to end before its deadline.
const BEFORE_DEADLINE: Duration = Duration::from_millis(20);

/// A request that waits.
pub(crate) struct Turn {
    pub(crate) job: Arc<dyn Waiting>,
    /// Pieces that no thread has taken.
    pub(crate) left: usize,
    deadline: Option<Instant>,
}

/// Requests that take their turns among themselves.
pub(crate) struct Flow {
    /// Number of the index.
    pub(crate) index: usize,
    pub(crate) kind: Kind,
    pub(crate) course: Course,
    /// The one whose turn is next comes first, unless another is urgent.
    jobs: VecDeque<Turn>,
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

    pub(crate) fn push(&mut self, job: Arc<dyn Waiting>) {
        let (left, deadline) = (job.pieces(), job.deadline());
        self.give_back(Turn { job, left, deadline });
    }

    /// The request whose turn it is. Give it back with what is left after a piece was taken.
    pub(crate) fn pop(&mut self, slots: usize) -> Option<Turn> {
        let turn = self.jobs.remove(self.urgent(slots).unwrap_or(0))?;
        self.pieces -= turn.left;
        Some(turn)
    }

    /// Has a request wait for its next turn, after those that wait.
    pub(crate) fn give_back(&mut self, turn: Turn) {
        self.pieces += turn.left;
        self.jobs.push_back(turn);
    }

    /// Where the batch with the nearest deadline lies of those that end in time only if they take all turns, where `slots` pieces are
    /// worked on at once. One that can hardly end in time is none of them.
    fn urgent(&self, slots: usize) -> Option<usize> {
        if self.kind != Kind::Batch || self.jobs.len() == 1 {
            return None;
        }
        let (now, piece) = (Instant::now(), side_by_side(self.piece()?, slots));
        let near = self.jobs.iter().enumerate().filter_map(|(at, turn)| {
            let deadline = turn.deadline?;
            let (time, own) = (deadline.saturating_duration_since(now), times(piece, turn.left));
            (own / 2 < time && time < with_spare(own) + BEFORE_DEADLINE).then_some((deadline, at))
        });
        near.min().map(|(_, at)| at)
    }

    /// Counts a piece as taken.
    pub(crate) fn charge(&mut self, piece: Duration) {
        self.taken += piece.max(UNKNOWN);
    }

    /// Expected work that waits, where a piece takes `piece`.
    fn work(&self, piece: Duration) -> Duration {
        times(piece, self.pieces)
    }

    /// Time that a piece is expected to take, where one waits.
    fn piece(&self) -> Option<Duration> {
        self.jobs.front().map(|turn| turn.job.searched().pace.query(self.course))
    }

    /// Expected work that waits.
    pub(crate) fn waiting(&self) -> Duration {
        self.piece().map_or(Duration::ZERO, |piece| self.work(piece))
    }

    /// Expected work of this flow until each batch with a deadline has its last piece, if they take turns with `coming` more pieces.
    pub(crate) fn ends(&self, coming: usize) -> impl Iterator<Item = (Duration, Instant)> {
        let waiting = self.jobs.iter().map(|turn| (turn.left, turn.deadline));
        let mut jobs: Vec<(usize, Option<Instant>)> = waiting.chain([(coming, None)]).collect();
        jobs.sort_unstable_by_key(|&(left, _)| left);
        let (piece, count) = (self.piece().unwrap_or_default(), jobs.len());
        let mut before = 0;
        jobs.into_iter().enumerate().filter_map(move |(at, (left, deadline))| {
            // Those with fewer pieces have ended, the others had the same number of turns.
            let all = before + left * (count - at);
            before += left;
            Some((times(piece, all), deadline?))
        })
    }

    /// Expected work of this flow before the first and before the last piece of a request of `pieces` that comes now. A
    /// request of one piece waits for those before it; one of several for a turn of each other, and by the time of its last
    /// piece each other had the same number of turns or has ended.
    pub(crate) fn before(&self, pieces: usize, piece: Duration) -> (Duration, Duration) {
        match self.kind {
            Kind::Single => (self.work(piece), self.work(piece)),
            Kind::Batch | Kind::Idle => {
                let last: usize = self.jobs.iter().map(|turn| turn.left.min(pieces)).sum();
                (times(piece, self.jobs.len()), times(piece, last))
            }
        }
    }

    /// Everything that waits.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = Arc<dyn Waiting>> {
        self.pieces = 0;
        self.jobs.drain(..).map(|turn| turn.job)
    }
}

/// Time to be left for what is expected to take `time` and has to be in time.
pub fn with_spare(time: Duration) -> Duration {
    time + time / SPARE
}

/// Time in which work is done that takes `work` one piece at a time, where `slots` pieces are worked on at once.
pub fn side_by_side(work: Duration, slots: usize) -> Duration {
    work.div_f64(slots as f64) // CAST: a count of pieces
}

/// Time that `pieces` pieces take.
pub(crate) fn times(piece: Duration, pieces: usize) -> Duration {
    piece.saturating_mul(u32::try_from(pieces).unwrap_or(u32::MAX))
}
