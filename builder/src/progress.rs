//! What a build tells its caller while it runs.
use std::sync::atomic::{AtomicBool, Ordering};

use crate::BuildError;

/// Receives the progress of a build, possibly from several threads.
pub trait Progress: Sync {
    /// A phase begins, of `total` units named `unit` (such as "vectors").
    fn phase(&self, name: &str, total: u64, unit: &str);
    /// `units` more of the phase are done.
    fn advance(&self, units: u64);
    /// Something worth a line, such as a phase taken over from an earlier run.
    fn note(&self, message: &str);
}

/// Says nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {
    fn phase(&self, _: &str, _: u64, _: &str) {}
    fn advance(&self, _: u64) {}
    fn note(&self, _: &str) {}
}

/// What every phase needs beside its input.
#[derive(Clone, Copy)]
pub(crate) struct Context<'a> {
    pub(crate) pool: &'a rayon::ThreadPool,
    pub(crate) progress: &'a dyn Progress,
    pub(crate) stop: &'a AtomicBool,
}

impl Context<'_> {
    /// Fails once a stop was asked for.
    pub(crate) fn check_stop(&self) -> Result<(), BuildError> {
        if self.stop.load(Ordering::Relaxed) { Err(BuildError::Stopped) } else { Ok(()) }
    }
}
