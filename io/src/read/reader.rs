//! The contract that every backend keeps.
use std::sync::Arc;

use super::{Backend, Fallback, Read, ReadBuf, ReadError, ReadFile};

/// The end of one read.
#[derive(Debug)]
pub struct Completion {
    /// [`Read::tag`] of the request.
    pub tag: u64,
    /// Exactly the bytes asked for, or why they could not be had.
    pub result: Result<ReadBuf, ReadError>,
}

/// Takes batches of reads and completes them in any order. Owned by one thread at a time.
///
/// Every submitted read completes exactly once, with its bytes or its own error. An `Err` from `submit` or
/// `complete` itself means that the backend is broken; only dropping it is useful then. Dropping a reader
/// waits for the reads that the kernel already has. Once warm, nothing is allocated per read, provided
/// that buffers come back through [`Reader::recycle`].
pub trait Reader: Send {
    /// Registers a file and returns its slot, the lowest that is free, from 0.
    fn add_file(&mut self, file: Arc<ReadFile>) -> u32;

    /// Lets go of a file; its slot is free for another.
    ///
    /// # Panics
    /// When a read of it is under way, or the slot is free.
    fn remove_file(&mut self, slot: u32);

    /// Starts reads, at most `depth` at once; the rest wait inside for a free place.
    ///
    /// Does not block. What is wrong with a single read (past the end, too long) shows in its completion.
    ///
    /// # Errors
    /// When the backend is broken.
    ///
    /// # Panics
    /// When a read names a slot that `add_file` did not give out.
    fn submit(&mut self, reads: &[Read]) -> Result<(), ReadError>;

    /// Appends finished reads to `out`: all that are there, and at least `at_least` of them.
    ///
    /// `at_least` 0 polls. Otherwise sleeps until that many are there; with fewer in flight, until all are.
    ///
    /// # Errors
    /// When the backend is broken. What was appended to `out` before is good.
    fn complete(&mut self, at_least: usize, out: &mut Vec<Completion>) -> Result<(), ReadError>;

    /// Ends reads that wait for a free place and are not wanted any more, with [`ReadError::Withdrawn`]. A reader whose
    /// reads wait elsewhere carries them out nevertheless.
    fn withdraw(&mut self, _is_wanted: &dyn Fn(&Read) -> bool) {}

    /// Reads submitted and not yet handed out by `complete`.
    fn in_flight(&self) -> usize;

    /// Takes a buffer back for later reads.
    fn recycle(&mut self, buf: ReadBuf);

    /// What carries the reads.
    fn backend(&self) -> Backend;

    /// Why this is not the backend one would have liked. Say it to the user once.
    fn fallback(&self) -> Option<&Fallback> {
        None
    }
}

impl<R: Reader + ?Sized> Reader for Box<R> {
    fn add_file(&mut self, file: Arc<ReadFile>) -> u32 {
        (**self).add_file(file)
    }

    fn remove_file(&mut self, slot: u32) {
        (**self).remove_file(slot);
    }

    fn submit(&mut self, reads: &[Read]) -> Result<(), ReadError> {
        (**self).submit(reads)
    }

    fn complete(&mut self, at_least: usize, out: &mut Vec<Completion>) -> Result<(), ReadError> {
        (**self).complete(at_least, out)
    }

    fn withdraw(&mut self, is_wanted: &dyn Fn(&Read) -> bool) {
        (**self).withdraw(is_wanted);
    }

    fn in_flight(&self) -> usize {
        (**self).in_flight()
    }

    fn recycle(&mut self, buf: ReadBuf) {
        (**self).recycle(buf);
    }

    fn backend(&self) -> Backend {
        (**self).backend()
    }

    fn fallback(&self) -> Option<&Fallback> {
        (**self).fallback()
    }
}
