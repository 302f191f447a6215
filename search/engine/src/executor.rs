//! Search threads that several indexes share.
use std::fmt;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use spandrel_io::{Backend, BackendChoice, Direct, Reader, ReaderError, open_reader};

use crate::error::EngineError;
use crate::paging::CachePolicy;
use crate::queue::Queue;
use crate::searched::Searched;
use crate::threads::{ThreadReport, Threads};

/// Threads, and queries in flight on each, that an executor accepts.
const COUNT_MAX: usize = 1024;
/// Reads that one worker keeps at the disk at once; more wait in its reader. Decision 007.
const DEPTH: usize = 128;

/// How indexes are searched. None of it changes an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EngineConfig {
    /// Search threads, 1 to 1024, for any number of indexes.
    pub threads: usize,
    /// Queries that each thread keeps in flight, 1 to 1024.
    pub in_flight: usize,
    /// What carries the reads.
    pub io: BackendChoice,
    /// Whether reads bypass the page cache.
    pub direct: Direct,
    /// Memory, for each index, for pages of vectors that were read, so that they need not be read again; 0 for none.
    /// Lists are not cached.
    pub cache_bytes: u64,
    /// Which page leaves when the cache is full.
    pub cache_policy: CachePolicy,
}

impl EngineConfig {
    /// Queries that are worked on at once.
    pub fn slots(&self) -> usize {
        self.threads * self.in_flight
    }
}

impl Default for EngineConfig {
    /// A thread per processor, four queries in flight on each, the fastest reads there are.
    fn default() -> EngineConfig {
        let threads = thread::available_parallelism().map_or(1, |n| n.get().min(COUNT_MAX));
        EngineConfig {
            threads,
            in_flight: 4,
            io: BackendChoice::default(),
            direct: Direct::default(),
            cache_bytes: 0,
            cache_policy: CachePolicy::default(),
        }
    }
}

/// Threads with their readers, and the queue that they take queries from. Indexes are registered and dropped while it runs.
///
/// A clone is another handle of the same threads. They end when the last handle and the last engine are dropped.
#[derive(Clone)]
pub struct Executor {
    running: Arc<Running>,
}

/// The threads as long as anybody needs them.
struct Running {
    threads: Arc<Threads>,
    config: EngineConfig,
    backend: Backend,
    fallback: Option<String>,
    /// Whether an index has that number.
    numbers: Mutex<Vec<bool>>,
    handles: Vec<JoinHandle<()>>,
}

impl Executor {
    /// Starts the threads.
    ///
    /// # Errors
    /// [`EngineError`].
    pub fn new(config: EngineConfig) -> Result<Executor, EngineError> {
        Executor::with_readers(config, move || open_reader(config.io, DEPTH))
    }

    /// As [`Executor::new`], with readers of the caller's making: one for each thread, and one for each that is replaced.
    ///
    /// # Errors
    /// [`EngineError`].
    pub fn with_readers(
        config: EngineConfig,
        readers: impl FnMut() -> Result<Box<dyn Reader>, ReaderError> + Send + 'static,
    ) -> Result<Executor, EngineError> {
        for (field, found) in [("threads", config.threads), ("in-flight", config.in_flight)] {
            if found == 0 || found > COUNT_MAX {
                return Err(EngineError::Config { field, found, max: COUNT_MAX });
            }
        }
        let threads = Arc::new(Threads {
            queue: Arc::new(Queue::new(config.threads, config.slots())),
            wanted: config.threads,
            in_flight: config.in_flight as u32, // CAST: at most COUNT_MAX
            readers: Mutex::new(Box::new(readers)),
            replaced: AtomicU64::new(0),
            failure: Mutex::default(),
        });
        let ready = (0..config.threads).map(|_| threads.reader()).collect::<Result<Vec<_>, _>>()?;
        let Some(first) = ready.first() else { unreachable!("there is at least one thread") };
        let (backend, fallback) = (first.backend(), first.fallback().map(ToString::to_string));
        let (numbers, handles) = (Mutex::default(), Vec::new());
        let mut running = Running { threads, config, backend, fallback, numbers, handles };
        for (number, reader) in ready.into_iter().enumerate() {
            let threads = Arc::clone(&running.threads);
            let thread = thread::Builder::new().name(format!("search-{number}"));
            running.handles.push(thread.spawn(move || threads.serve(reader)).map_err(EngineError::Thread)?);
        }
        Ok(Executor { running: Arc::new(running) })
    }

    /// How its threads are. One that breaks down fails the queries it has in flight and is replaced, once a second at
    /// most; while none is left, queries are refused.
    pub fn threads(&self) -> ThreadReport {
        self.running.threads.report()
    }

    /// How indexes are searched.
    pub fn config(&self) -> &EngineConfig {
        &self.running.config
    }

    /// What carries the reads.
    pub(crate) fn backend(&self) -> Backend {
        self.running.backend
    }

    /// Why the backend is not io_uring although it might have been.
    pub(crate) fn fallback(&self) -> Option<&str> {
        self.running.fallback.as_deref()
    }

    pub(crate) fn queue(&self) -> &Queue {
        &self.running.threads.queue
    }

    /// The same, for who outlives this handle.
    pub(crate) fn shared_queue(&self) -> Arc<Queue> {
        Arc::clone(&self.running.threads.queue)
    }

    /// Drops an index: waits for what was handed in, and until every thread has let go of its files.
    pub(crate) fn drop_index(&self, searched: &Searched) {
        self.queue().give_up_idle(searched.number);
        searched.close(|| self.queue().close_index(searched.number));
        let mut numbers = self.running.numbers.lock().unwrap_or_else(PoisonError::into_inner);
        numbers[searched.number] = false;
    }

    /// The smallest number that no index has.
    pub(crate) fn take_number(&self) -> usize {
        let mut numbers = self.running.numbers.lock().unwrap_or_else(PoisonError::into_inner);
        let number = numbers.iter().position(|taken| !taken).unwrap_or(numbers.len());
        if number == numbers.len() {
            numbers.push(false);
        }
        numbers[number] = true;
        number
    }
}

impl fmt::Debug for Executor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Executor({} threads)", self.running.config.threads)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Threads end when the queue is closed and empty.
        self.threads.queue.close();
        for thread in self.handles.drain(..) {
            // It catches the panics of its workers.
            let _ = thread.join();
        }
    }
}
