//! The search threads of an executor: each runs a worker, and replaces it when it breaks.
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use spandrel_io::{Reader, ReaderError};

use crate::error::with_cause;
use crate::queue::Queue;
use crate::worker::Worker;

/// Time between two starts of a worker on one thread, so that one that breaks at once does not keep a processor busy.
const RESTART_INTERVAL: Duration = Duration::from_secs(1);

/// Makes a reader without files.
pub(crate) type MakeReader = Box<dyn FnMut() -> Result<Box<dyn Reader>, ReaderError> + Send>;

/// How the search threads are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ThreadReport {
    /// Threads that take queries.
    pub alive: usize,
    /// Threads there should be.
    pub wanted: usize,
    /// Times that a thread broke down and was replaced.
    pub replaced: u64,
    /// Why the last one broke down, or could not be replaced.
    pub failure: Option<String>,
}

/// What the threads of one executor share.
pub(crate) struct Threads {
    pub(crate) queue: Arc<Queue>,
    /// Threads there should be.
    pub(crate) wanted: usize,
    /// Queries that each keeps in flight.
    pub(crate) in_flight: u32,
    pub(crate) readers: Mutex<MakeReader>,
    pub(crate) replaced: AtomicU64,
    pub(crate) failure: Mutex<Option<String>>,
}

impl Threads {
    /// A reader without files.
    pub(crate) fn reader(&self) -> Result<Box<dyn Reader>, ReaderError> {
        (self.readers.lock().unwrap_or_else(PoisonError::into_inner))()
    }

    /// Answers queries until the queue is closed and empty.
    pub(crate) fn serve(&self, mut reader: Box<dyn Reader>) {
        loop {
            let started = Instant::now();
            // Nothing is used again of what the worker owned; what is shared stands a panic.
            let reason = match catch_unwind(AssertUnwindSafe(|| self.work(reader))) {
                Ok(Ok(())) => return,
                Ok(Err(error)) => with_cause(&error),
                Err(panic) => panic_text(&*panic),
            };
            self.note(reason);
            let Some(new) = self.replacement(started + RESTART_INTERVAL) else { return };
            self.replaced.fetch_add(1, Ordering::Relaxed);
            reader = new;
        }
    }

    /// Another reader for a worker that broke, not before `due`; none if the queue is closed meanwhile. While there is
    /// none yet, the thread does not count as serving.
    fn replacement(&self, mut due: Instant) -> Option<Box<dyn Reader>> {
        let mut gone = false;
        loop {
            if Instant::now() < due {
                if !std::mem::replace(&mut gone, true) {
                    self.queue.thread_went();
                }
                if self.queue.closed_by(due) {
                    return None;
                }
            }
            match catch_unwind(AssertUnwindSafe(|| self.reader())) {
                Ok(Ok(reader)) => {
                    if gone {
                        self.queue.thread_came();
                    }
                    return Some(reader);
                }
                Ok(Err(error)) => self.note(with_cause(&error)),
                Err(panic) => self.note(panic_text(&*panic)),
            }
            due = Instant::now() + RESTART_INTERVAL;
        }
    }

    fn work(&self, reader: Box<dyn Reader>) -> Result<(), spandrel_io::ReadError> {
        Worker::new(reader, Arc::clone(&self.queue), self.in_flight).run()
    }

    fn note(&self, failure: String) {
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(failure);
    }

    pub(crate) fn report(&self) -> ThreadReport {
        ThreadReport {
            alive: self.queue.threads(),
            wanted: self.wanted,
            replaced: self.replaced.load(Ordering::Relaxed),
            failure: self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }
}

/// What a thread said when it panicked.
fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    format!("it panicked: {}", text.unwrap_or("without a text"))
}
