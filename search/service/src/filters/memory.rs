//! Memory of compiled filters.
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes that compiled filters of an index take, whether they are kept or in use.
#[derive(Debug)]
pub(super) struct Memory {
    used: AtomicUsize,
    pub(super) max: usize,
}

/// Bytes of it that are taken. Given back when dropped.
#[derive(Debug)]
pub(super) struct Taken {
    memory: Arc<Memory>,
    bytes: usize,
}

impl Memory {
    pub(super) fn new(max: usize) -> Arc<Memory> {
        Arc::new(Memory { used: AtomicUsize::new(0), max })
    }

    pub(super) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// Takes bytes if there is room for them.
    pub(super) fn take(self: &Arc<Memory>, bytes: usize) -> Option<Taken> {
        let more = |used: usize| used.checked_add(bytes).filter(|&used| used <= self.max);
        self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        Some(Taken { memory: Arc::clone(self), bytes })
    }
}

impl Taken {
    /// Takes over what `other` has.
    pub(super) fn join(&mut self, mut other: Taken) {
        self.bytes += std::mem::take(&mut other.bytes);
    }

    /// Gives back all but `bytes` of them, where they are more.
    pub(super) fn keep(&mut self, bytes: usize) {
        let given = self.bytes.saturating_sub(bytes);
        self.memory.used.fetch_sub(given, Ordering::Relaxed);
        self.bytes -= given;
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.memory.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_stays_within_the_limit_and_comes_back() {
        let memory = Memory::new(100);
        let mut taken = memory.take(40).unwrap();
        taken.join(memory.take(30).unwrap());
        assert!(memory.take(31).is_none() && memory.take(usize::MAX).is_none());
        let other = memory.take(30).unwrap();
        taken.keep(20);
        assert_eq!(memory.used(), 50);
        // It does not grow.
        taken.keep(60);
        assert_eq!(memory.used(), 50);
        drop(other);
        assert_eq!(memory.used(), 20);
        drop(taken);
        assert_eq!(memory.used(), 0);
    }
}
