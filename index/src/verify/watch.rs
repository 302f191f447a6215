//! Progress and the wish to stop.
use std::sync::atomic::{AtomicBool, Ordering};

use super::error::VerifyError;

/// Bytes between two reports.
const REPORT_BYTES: u64 = 8 << 20;

/// How far verifying has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VerifyProgress<'a> {
    /// What is being read.
    pub what: &'a str,
    /// Bytes read so far.
    pub done_bytes: u64,
    /// Bytes to read in all.
    pub total_bytes: u64,
}

pub(super) struct Watch<'a> {
    progress: &'a mut dyn FnMut(VerifyProgress<'_>),
    stop: &'a AtomicBool,
    what: &'static str,
    done_bytes: u64,
    total_bytes: u64,
    reported_bytes: u64,
}

impl<'a> Watch<'a> {
    pub(super) fn new(
        progress: &'a mut dyn FnMut(VerifyProgress<'_>),
        stop: &'a AtomicBool,
        total_bytes: u64,
    ) -> Watch<'a> {
        Watch { progress, stop, what: "", done_bytes: 0, total_bytes, reported_bytes: 0 }
    }

    /// What says that it is to give up.
    pub(super) fn stop(&self) -> &'a AtomicBool {
        self.stop
    }

    /// Says what is read from here on.
    pub(super) fn name(&mut self, what: &'static str) {
        self.what = what;
    }

    /// Counts bytes as read, and gives up when that is wanted.
    pub(super) fn step(&mut self, bytes: u64) -> Result<(), VerifyError> {
        self.done_bytes += bytes;
        let (done_bytes, total_bytes) = (self.done_bytes, self.total_bytes);
        if self.stop.load(Ordering::Relaxed) {
            return Err(VerifyError::Stopped { done_bytes, total_bytes });
        }
        if done_bytes - self.reported_bytes >= REPORT_BYTES {
            self.reported_bytes = done_bytes;
            (self.progress)(VerifyProgress { what: self.what, done_bytes, total_bytes });
        }
        Ok(())
    }
}
