//! Where the time of a query goes.
use std::time::Instant;

/// Microseconds by stage. Their sum is the time from the moment a worker took the query to its answer; of a query document it adds up
/// tokens that search side by side.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct StageTimes {
    /// Finding the nearest heads and choosing lists.
    pub probe_us: f32,
    /// Making the query ready for codes, and scanning them or lists of exact vectors.
    pub scan_us: f32,
    /// Choosing what to read.
    pub plan_us: f32,
    /// Reads under way; the worker has other queries meanwhile.
    pub wait_us: f32,
    /// Checking hashes and sums of what was read.
    pub verify_us: f32,
    /// Exact distances, and putting the answer together.
    pub rerank_us: f32,
}

impl StageTimes {
    /// Adds those of another query.
    pub(crate) fn add(&mut self, other: &StageTimes) {
        self.probe_us += other.probe_us;
        self.scan_us += other.scan_us;
        self.plan_us += other.plan_us;
        self.wait_us += other.wait_us;
        self.verify_us += other.verify_us;
        self.rerank_us += other.rerank_us;
    }
}

/// A clock that tells which stage time is spent in. Switched off it costs a comparison.
#[derive(Debug, Default)]
pub(crate) struct StageClock {
    last: Option<Instant>,
    times: StageTimes,
}

impl StageClock {
    /// Starts at `now`, if at all.
    pub(crate) fn begin(&mut self, now: Option<Instant>) {
        self.last = now;
        self.times = StageTimes::default();
    }

    /// Counts the time since the last call for a stage.
    pub(crate) fn lap(&mut self, stage: fn(&mut StageTimes) -> &mut f32) {
        let Some(last) = &mut self.last else { return };
        let now = Instant::now();
        *stage(&mut self.times) += (now - *last).as_nanos() as f32 / 1000.0; // CAST: rounds
        *last = now;
    }

    /// What was counted, if anything was.
    pub(crate) fn times(&self) -> Option<StageTimes> {
        self.last.map(|_| self.times)
    }
}
