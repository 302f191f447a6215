//! How far threads may go ahead of what was handed out: what they found and nobody took stays in memory.
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// Groups under way for each thread before the first of them is handed out.
pub(super) const AHEAD: usize = 2;
/// Time after which a thread that waits looks whether the join is to stop.
const LOOK: Duration = Duration::from_millis(50);

/// Gives numbers of groups in their order.
pub(super) struct Gate<'a> {
    state: Mutex<State>,
    moved: Condvar,
    ahead: usize,
    stop: &'a AtomicBool,
}

struct State {
    next: usize,
    handed: usize,
    is_closed: bool,
    /// Threads that wait.
    #[cfg(test)]
    waiting: usize,
}

impl<'a> Gate<'a> {
    /// From group `first` on; at most `ahead` groups are under way.
    pub(super) fn new(first: usize, ahead: usize, stop: &'a AtomicBool) -> Gate<'a> {
        let state = State {
            next: first,
            handed: first,
            is_closed: false,
            #[cfg(test)]
            waiting: 0,
        };
        Gate { state: Mutex::new(state), moved: Condvar::new(), ahead, stop }
    }

    /// The next group, once it is not too far ahead; none when the gate is closed or the join is to stop.
    pub(super) fn enter(&self) -> Option<usize> {
        let mut state = self.lock();
        loop {
            if state.is_closed || self.stop.load(Ordering::Relaxed) {
                return None;
            }
            if state.next < state.handed + self.ahead {
                state.next += 1;
                return Some(state.next - 1);
            }
            #[cfg(test)]
            {
                state.waiting += 1;
            }
            state = self.moved.wait_timeout(state, LOOK).unwrap_or_else(PoisonError::into_inner).0;
            #[cfg(test)]
            {
                state.waiting -= 1;
            }
        }
    }

    /// The first group that was not handed out.
    pub(super) fn handed(&self) -> usize {
        self.lock().handed
    }

    /// Says that the groups before `handed` were handed out.
    pub(super) fn hand_out(&self, handed: usize) {
        self.lock().handed = handed;
        self.moved.notify_all();
    }

    /// Lets no thread in any more.
    pub(super) fn close(&self) {
        self.lock().is_closed = true;
        self.moved.notify_all();
    }

    /// Closes the gate if its thread panics: the group that it was at never comes.
    pub(super) fn closing_on_panic(&self) -> Closing<'_> {
        Closing(self)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing in a critical section panics.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) struct Closing<'a>(&'a Gate<'a>);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.close();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_goes_far_ahead_of_what_was_handed_out() {
        let stop = AtomicBool::new(false);
        let gate = Gate::new(5, 2, &stop);
        assert_eq!([gate.enter(), gate.enter()], [Some(5), Some(6)]);
        thread::scope(|scope| {
            let waiting = scope.spawn(|| gate.enter());
            while gate.lock().waiting == 0 {
                assert!(!waiting.is_finished(), "it did not wait");
                thread::yield_now();
            }
            gate.hand_out(6);
            assert_eq!(waiting.join().unwrap(), Some(7));
            let waiting = scope.spawn(|| gate.enter());
            stop.store(true, Ordering::Relaxed);
            assert_eq!(waiting.join().unwrap(), None);
            stop.store(false, Ordering::Relaxed);
            let broken = scope.spawn(|| {
                let _closing = gate.closing_on_panic();
                panic!("a broken thread");
            });
            assert_eq!(gate.enter(), None);
            assert!(broken.join().is_err());
        });
    }
}
