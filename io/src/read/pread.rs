//! Reads by a few threads that call `pread`, for kernels and containers without io_uring.
use std::collections::VecDeque;
use std::mem;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use super::{
    Backend, Completion, Fallback, Intake, Read, ReadBuf, ReadError, ReadFile, Reader, ReaderError, Transfer,
};

/// Threads per reader at most: enough to keep a disk's queue filled, few enough to start quickly.
const THREADS_MAX: usize = 16;
const DEPTH_MAX: usize = 4096;

/// A reader on a pool of threads of its own.
pub struct PreadReader {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    intake: Intake,
    depth: usize,
    /// Transfers the threads have, or have finished and not been relieved of.
    issued: usize,
    /// Kept to be swapped with `State::finished`, so that neither is allocated anew.
    finished: Vec<Finished>,
    fallback: Option<Fallback>,
}

type Finished = (Transfer, Result<(), ReadError>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    /// Woken when there is work, or the end.
    work: Condvar,
    /// Woken when `State::finished` has reached `State::wanted`.
    done: Condvar,
}

#[derive(Default)]
struct State {
    queue: VecDeque<(Arc<ReadFile>, Transfer)>,
    finished: Vec<Finished>,
    /// How many finished transfers the owner sleeps for; 0 when it does not sleep.
    wanted: usize,
    idle_threads: usize,
    closing: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Every critical section leaves the state whole at each step, so a poisoned lock is still good.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One thread: reads until told to end.
    fn serve(&self) {
        let mut state = self.lock();
        loop {
            if state.closing {
                return;
            }
            let Some((file, mut transfer)) = state.queue.pop_front() else {
                state.idle_threads += 1;
                state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
                state.idle_threads -= 1;
                continue;
            };
            drop(state);
            let result = transfer.run(&file);
            state = self.lock();
            state.finished.push((transfer, result));
            if state.wanted > 0 && state.finished.len() >= state.wanted {
                state.wanted = 0;
                self.done.notify_one();
            }
        }
    }
}

impl PreadReader {
    /// Starts up to 16 threads, which sleep until there is work and end with the reader.
    ///
    /// `depth` bounds the reads that hold a buffer at once; how many overlap on the disk is bounded by the
    /// number of threads.
    ///
    /// # Errors
    /// [`ReaderError`] when the depth is out of range or a thread cannot be started.
    pub fn new(depth: usize) -> Result<PreadReader, ReaderError> {
        if depth == 0 || depth > DEPTH_MAX {
            return Err(ReaderError::Depth { depth, max: DEPTH_MAX });
        }
        let mut reader = PreadReader {
            shared: Arc::default(),
            threads: Vec::new(),
            intake: Intake::default(),
            depth,
            issued: 0,
            finished: Vec::new(),
            fallback: None,
        };
        for number in 0..depth.min(THREADS_MAX) {
            let shared = Arc::clone(&reader.shared);
            let thread = thread::Builder::new()
                .name(format!("pread-{number}"))
                .stack_size(128 << 10)
                .spawn(move || shared.serve())
                .map_err(|source| ReaderError::Threads { source })?;
            reader.threads.push(thread);
        }
        Ok(reader)
    }

    /// Notes why this reader was taken.
    pub(super) fn with_fallback(mut self, fallback: Fallback) -> PreadReader {
        self.fallback = Some(fallback);
        self
    }

    /// Gives the threads work while the depth allows.
    fn fill(&mut self) {
        if !self.intake.has_backlog() || self.issued == self.depth {
            return;
        }
        let mut state = self.shared.lock();
        let mut added = 0;
        while self.issued < self.depth {
            let Some(transfer) = self.intake.next_transfer() else { break };
            let file = Arc::clone(self.intake.file(transfer.read().file));
            state.queue.push_back((file, transfer));
            self.issued += 1;
            added += 1;
        }
        let wake = added.min(state.idle_threads);
        drop(state);
        for _ in 0..wake {
            self.shared.work.notify_one();
        }
    }

    /// Takes over what the threads have finished, sleeping until that is at least `want`.
    fn collect(&mut self, want: usize) {
        let mut state = self.shared.lock();
        while state.finished.len() < want {
            state.wanted = want;
            state = self.shared.done.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.wanted = 0;
        mem::swap(&mut state.finished, &mut self.finished);
        drop(state);
        self.issued -= self.finished.len();
        for (transfer, result) in self.finished.drain(..) {
            self.intake.deliver(transfer, result);
        }
    }
}

impl Reader for PreadReader {
    fn add_file(&mut self, file: Arc<ReadFile>) -> u32 {
        self.intake.add_file(file)
    }

    fn remove_file(&mut self, slot: u32) {
        self.intake.remove_file(slot);
    }

    fn submit(&mut self, reads: &[Read]) -> Result<(), ReadError> {
        self.intake.accept(reads);
        self.fill();
        Ok(())
    }

    fn complete(&mut self, at_least: usize, out: &mut Vec<Completion>) -> Result<(), ReadError> {
        let target = at_least.min(self.in_flight());
        self.collect(0);
        self.fill();
        let mut got = self.intake.hand_out(out);
        while got < target {
            self.collect(self.intake.wait_for(target - got, self.issued));
            self.fill();
            got += self.intake.hand_out(out);
        }
        Ok(())
    }

    fn withdraw(&mut self, is_wanted: &dyn Fn(&Read) -> bool) {
        self.intake.withdraw(is_wanted);
    }

    fn in_flight(&self) -> usize {
        self.intake.waiting() + self.issued
    }

    fn recycle(&mut self, buf: ReadBuf) {
        self.intake.recycle(buf);
    }

    fn backend(&self) -> Backend {
        Backend::Pread
    }

    fn fallback(&self) -> Option<&Fallback> {
        self.fallback.as_ref()
    }
}

impl Drop for PreadReader {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.closing = true;
        state.queue.clear();
        drop(state);
        self.shared.work.notify_all();
        for thread in self.threads.drain(..) {
            // A thread that panicked has nothing left to tell.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_is_checked_and_bounds_the_threads() {
        assert!(matches!(PreadReader::new(0), Err(ReaderError::Depth { .. })));
        assert_eq!(PreadReader::new(3).unwrap().threads.len(), 3);
        assert_eq!(PreadReader::new(500).unwrap().threads.len(), THREADS_MAX);
    }
}
