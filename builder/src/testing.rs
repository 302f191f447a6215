//! Builds that stop on purpose, for the tests of this package and those above.
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use crate::Progress;

/// When [`StopAt`] stops a build.
#[derive(Debug, Clone, Copy)]
pub enum Moment<'a> {
    /// At the sign of progress of this number, the first being 1.
    Sign(u32),
    /// When the phase of this name begins.
    Phase(&'a str),
    /// When this number of phases have begun.
    Phases(u32),
}

/// Counts signs of progress and raises its flag at a moment.
#[derive(Debug)]
pub struct StopAt<'a> {
    /// The flag, for the build.
    pub stop: AtomicBool,
    at: Moment<'a>,
    signs: AtomicU32,
    phases: AtomicU32,
}

impl<'a> StopAt<'a> {
    /// With a flag that is not raised.
    pub fn new(at: Moment<'a>) -> StopAt<'a> {
        StopAt { stop: AtomicBool::new(false), at, signs: AtomicU32::new(0), phases: AtomicU32::new(0) }
    }

    /// Signs of progress so far.
    pub fn signs(&self) -> u32 {
        self.signs.load(Ordering::Relaxed)
    }

    fn stop_if(&self, is_moment: bool) {
        if is_moment {
            self.stop.store(true, Ordering::Relaxed);
        }
    }

    fn count(&self) {
        let sign = self.signs.fetch_add(1, Ordering::Relaxed) + 1;
        self.stop_if(matches!(self.at, Moment::Sign(at) if at == sign));
    }
}

impl Progress for StopAt<'_> {
    fn phase(&self, name: &str, _: u64, _: &str) {
        let begun = self.phases.fetch_add(1, Ordering::Relaxed) + 1;
        self.stop_if(match self.at {
            Moment::Sign(_) => false,
            Moment::Phase(at) => at == name,
            Moment::Phases(at) => at == begun,
        });
        self.count();
    }

    fn advance(&self, _: u64) {
        self.count();
    }

    fn note(&self, _: &str) {}
}
