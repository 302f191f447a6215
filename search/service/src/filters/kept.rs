//! Filters that were compiled, the last asked for last.
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use spandrel_filter::Bound;
use spandrel_index::Matches;
use tokio::sync::OnceCell;

use super::memory::Taken;

/// A filter as it is searched with.
#[derive(Debug)]
pub(crate) struct Compiled {
    pub(crate) matches: Arc<Matches>,
    /// For as long as anybody has it.
    pub(super) _taken: Taken,
}

/// A filter that is compiled once for all who ask for it meanwhile.
type Slot = Arc<OnceCell<Arc<Compiled>>>;

/// Filters by what they say.
#[derive(Debug, Default)]
pub(super) struct Kept(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// When each was last asked for.
    last: HashMap<Arc<Bound>, u64>,
    /// The filters, by when they were last asked for.
    slots: BTreeMap<u64, (Arc<Bound>, Slot)>,
    next: u64,
}

/// A filter that somebody asks for. Where it was not compiled, it is forgotten once the last who asks is gone.
pub(super) struct Asked<'a> {
    kept: &'a Kept,
    /// What all who ask for it share.
    pub(super) bound: Arc<Bound>,
    /// Empty until it is compiled.
    pub(super) slot: Slot,
}

impl State {
    fn remove(&mut self, bound: &Bound) {
        if let Some(last) = self.last.remove(bound) {
            self.slots.remove(&last);
        }
    }
}

impl Kept {
    fn lock(&self) -> MutexGuard<'_, State> {
        // No critical section panics half way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks for a filter, which may be compiled already, or be compiled by another call.
    pub(super) fn ask(&self, bound: Bound) -> Asked<'_> {
        let bound = Arc::new(bound);
        let mut state = self.lock();
        let State { last, slots, next } = &mut *state;
        let now = *next;
        *next += 1;
        let last = last.entry(Arc::clone(&bound)).or_insert(now);
        let (bound, slot) = slots.remove(last).unwrap_or_else(|| (bound, Slot::default()));
        *last = now;
        slots.insert(now, (Arc::clone(&bound), Arc::clone(&slot)));
        Asked { kept: self, bound, slot }
    }

    /// Forgets the filter that was not asked for the longest among those that nobody uses; false if all are used.
    pub(super) fn forget_oldest(&self) -> bool {
        let mut state = self.lock();
        let is_unused = |slot: &Slot| slot.get().is_some_and(|compiled| Arc::strong_count(compiled) == 1);
        let oldest = state.slots.values().find(|(_, slot)| is_unused(slot));
        let Some(oldest) = oldest.map(|(bound, _)| Arc::clone(bound)) else { return false };
        state.remove(&oldest);
        true
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        let state = self.lock();
        state.last.is_empty() && state.slots.is_empty()
    }
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        if self.slot.initialized() {
            return;
        }
        let mut state = self.kept.lock();
        // Gone before the lock is: whoever takes it next does not count this one.
        let slot = std::mem::take(&mut self.slot);
        // Those who have it: this one, and the state.
        if !slot.initialized() && Arc::strong_count(&slot) == 2 {
            state.remove(&self.bound);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::memory::Memory;
    use super::*;

    fn fill(kept: &Kept, memory: &Arc<Memory>, id: u64) -> Arc<Compiled> {
        let compiled =
            || Compiled { matches: Matches::new(Vec::new()).into(), _taken: memory.take(1).unwrap() };
        let asked = kept.ask(Bound::Ids(vec![id]));
        asked.slot.set(Arc::new(compiled())).unwrap();
        Arc::clone(asked.slot.get().unwrap())
    }

    #[test]
    fn the_one_that_was_not_asked_for_the_longest_goes_first_and_none_in_use() {
        let (kept, memory) = (Kept::default(), Memory::new(10));
        let mut used: Vec<_> = (0..4).map(|id| fill(&kept, &memory, id)).collect();
        assert!(!kept.forget_oldest(), "all are used");
        // In use is 1; asked for in this order are 2, 3 and 0.
        used.drain(2..);
        used.remove(0);
        drop(kept.ask(Bound::Ids(vec![0])));
        for (gone, left) in [(2, 3), (3, 2), (0, 1)] {
            assert!(kept.forget_oldest());
            assert_eq!((kept.lock().slots.len(), memory.used()), (left, left));
            assert!(!kept.lock().last.contains_key(&Bound::Ids(vec![gone])), "{gone}");
        }
        assert!(!kept.forget_oldest());
        drop(used);
        assert!(kept.forget_oldest());
        assert!(memory.used() == 0 && kept.is_empty());
    }

    #[test]
    fn one_that_is_not_compiled_stays_while_another_waits_for_it() {
        let kept = Kept::default();
        let [one, other] = [7, 7].map(|id| kept.ask(Bound::Ids(vec![id])));
        drop(one);
        assert_eq!(kept.lock().slots.len(), 1);
        drop(other);
        assert!(kept.is_empty());
    }
}
