//! An index as search threads work on it.
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use spandrel_index::Index;
use spandrel_io::ReadFile;

use crate::damage::DamageLog;
use crate::pace::Paces;
use crate::paging::PageCache;

/// What the threads of an executor share for one of its indexes.
pub(crate) struct Searched {
    /// Its number among the indexes that are registered. Given again once it is not.
    pub(crate) number: usize,
    pub(crate) index: Arc<Index>,
    pub(crate) damage: Arc<DamageLog>,
    pub(crate) cache: Option<Arc<PageCache>>,
    /// The files that queries read, of all segments, by number; none of vectors that the index does not hold.
    pub(crate) files: Vec<Option<Arc<ReadFile>>>,
    /// How long its queries take.
    pub(crate) pace: Paces,
    /// Whether threads are to let go of it.
    closing: AtomicBool,
    holders: Mutex<Holders>,
    /// Rung when a holder lets go.
    released: Condvar,
}

/// Who uses an index now.
#[derive(Default)]
struct Holders {
    /// Requests that were not replied to.
    jobs: usize,
    /// Threads that have its files open.
    threads: usize,
    /// Whether somebody waits for them to let go.
    awaited: bool,
}

/// Keeps an index from being closed.
pub(crate) struct Held {
    searched: Arc<Searched>,
    count: fn(&mut Holders) -> &mut usize,
}

impl Searched {
    pub(crate) fn new(
        number: usize,
        index: Arc<Index>,
        damage: DamageLog,
        cache: Option<Arc<PageCache>>,
        files: Vec<Option<Arc<ReadFile>>>,
    ) -> Searched {
        Searched {
            number,
            index,
            damage: Arc::new(damage),
            cache,
            files,
            pace: Paces::default(),
            closing: AtomicBool::new(false),
            holders: Mutex::default(),
            released: Condvar::new(),
        }
    }

    /// Holds it for a request.
    pub(crate) fn hold_for_job(self: &Arc<Searched>) -> Held {
        self.hold(|holders| &mut holders.jobs)
    }

    /// Holds it for a thread.
    pub(crate) fn hold_for_thread(self: &Arc<Searched>) -> Held {
        self.hold(|holders| &mut holders.threads)
    }

    fn hold(self: &Arc<Searched>, count: fn(&mut Holders) -> &mut usize) -> Held {
        *count(&mut self.lock()) += 1;
        Held { searched: Arc::clone(self), count }
    }

    /// Waits until every request was replied to, then has threads let go of it by `tell`, and waits for them. No request may come
    /// meanwhile.
    pub(crate) fn close(&self, tell: impl FnOnce()) {
        self.wait_for(|holders| holders.jobs);
        self.closing.store(true, Ordering::Relaxed);
        tell();
        self.wait_for(|holders| holders.threads);
    }

    /// Whether threads are to let go of it.
    pub(crate) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Relaxed)
    }

    fn wait_for(&self, count: fn(&Holders) -> usize) {
        let mut holders = self.lock();
        holders.awaited = true;
        while count(&holders) > 0 {
            holders = self.released.wait(holders).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Holders> {
        // Nothing in a critical section panics.
        self.holders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    /// What it holds.
    pub(crate) fn searched(&self) -> &Arc<Searched> {
        &self.searched
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut holders = self.searched.lock();
        *(self.count)(&mut holders) -= 1;
        // Ringing asks the kernel, even where nobody waits.
        if holders.awaited {
            self.searched.released.notify_all();
        }
    }
}

#[cfg(test)]
use crate::files::{files_of, open_files, paths_of};

#[cfg(test)]
impl Searched {
    /// An index whose files nobody reads.
    pub(crate) fn of(index: &Arc<Index>) -> Searched {
        let files = files_of(index);
        let opened = open_files(&files, spandrel_io::Direct::Off).unwrap();
        let damage = DamageLog::new(paths_of(&files));
        Searched::new(0, Arc::clone(index), damage, None, opened)
    }
}
