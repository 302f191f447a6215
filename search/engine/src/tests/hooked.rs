//! A backend that tells what is done with it.
use std::sync::Arc;

use spandrel_io::{Backend, Completion, Read, ReadBuf, ReadError, ReadFile, Reader, ReaderError};

/// What is done with a backend.
pub(super) enum Event {
    FileAdded {
        slot: u32,
    },
    FileRemoved,
    /// Before reads are handed over; an error takes their place.
    Submit,
    /// Reads were taken from it.
    Completed {
        reads: usize,
        /// Those of them that it was told not to carry out.
        withdrawn: usize,
    },
}

type Hook = Box<dyn FnMut(Event) -> Result<(), ReadError> + Send>;

pub(super) struct Hooked {
    inner: Box<dyn Reader>,
    hook: Hook,
}

impl Hooked {
    pub(super) fn boxed(
        inner: Box<dyn Reader>,
        hook: impl FnMut(Event) -> Result<(), ReadError> + Send + 'static,
    ) -> Result<Box<dyn Reader>, ReaderError> {
        Ok(Box::new(Hooked { inner, hook: Box::new(hook) }))
    }
}

impl Reader for Hooked {
    fn add_file(&mut self, file: Arc<ReadFile>) -> u32 {
        let slot = self.inner.add_file(file);
        (self.hook)(Event::FileAdded { slot }).unwrap();
        slot
    }

    fn remove_file(&mut self, slot: u32) {
        self.inner.remove_file(slot);
        (self.hook)(Event::FileRemoved).unwrap();
    }

    fn submit(&mut self, reads: &[Read]) -> Result<(), ReadError> {
        (self.hook)(Event::Submit)?;
        self.inner.submit(reads)
    }

    fn complete(&mut self, at_least: usize, out: &mut Vec<Completion>) -> Result<(), ReadError> {
        self.inner.complete(at_least, out)?;
        let is_withdrawn = |done: &&Completion| matches!(done.result, Err(ReadError::Withdrawn));
        let withdrawn = out.iter().filter(is_withdrawn).count();
        (self.hook)(Event::Completed { reads: out.len(), withdrawn })
    }

    fn withdraw(&mut self, is_wanted: &dyn Fn(&Read) -> bool) {
        self.inner.withdraw(is_wanted);
    }

    fn in_flight(&self) -> usize {
        self.inner.in_flight()
    }

    fn recycle(&mut self, buf: ReadBuf) {
        self.inner.recycle(buf);
    }

    fn backend(&self) -> Backend {
        self.inner.backend()
    }
}
