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
pub(super) type Slot = Arc<OnceCell<Arc<Compiled>>>;

/// Filters by what they say.
#[derive(Debug, Default)]
pub(super) struct Kept(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    slots: HashMap<Arc<Bound>, (u64, Slot)>,
    /// By when they were last asked for.
    order: BTreeMap<u64, Arc<Bound>>,
    next: u64,
}

impl State {
    fn remove(&mut self, bound: &Bound) {
        if let Some((last, _)) = self.slots.remove(bound) {
            self.order.remove(&last);
        }
    }
}

impl Kept {
    fn lock(&self) -> MutexGuard<'_, State> {
        // No critical section panics half way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The place of a filter, which may be empty yet, or be filled by another call.
    pub(super) fn slot(&self, bound: &Arc<Bound>) -> Slot {
        let mut state = self.lock();
        let now = state.next;
        state.next += 1;
        let State { slots, order, .. } = &mut *state;
        let (last, slot) = slots.entry(Arc::clone(bound)).or_insert_with(|| (now, Slot::default()));
        let key = order.remove(last).unwrap_or_else(|| Arc::clone(bound));
        *last = now;
        order.insert(now, key);
        Arc::clone(slot)
    }

    /// Forgets a filter that could not be compiled, unless another call is about to.
    pub(super) fn forget_empty(&self, bound: &Bound, slot: Slot) {
        let mut state = self.lock();
        // Those who wait for it: this call, and the place itself.
        if slot.get().is_none() && Arc::strong_count(&slot) == 2 {
            state.remove(bound);
        }
    }

    /// Forgets the filter that was not asked for the longest among those that nobody uses; false if all are used.
    pub(super) fn forget_oldest(&self) -> bool {
        let mut state = self.lock();
        let is_unused = |bound: &&Arc<Bound>| {
            let slot = state.slots.get(*bound).and_then(|(_, slot)| slot.get());
            slot.is_some_and(|compiled| Arc::strong_count(compiled) == 1)
        };
        let Some(oldest) = state.order.values().find(is_unused).cloned() else { return false };
        state.remove(&oldest);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::super::memory::Memory;
    use super::*;

    fn ids(id: u64) -> Arc<Bound> {
        Arc::new(Bound::Ids(vec![id]))
    }

    fn fill(kept: &Kept, memory: &Arc<Memory>, id: u64) -> Arc<Compiled> {
        let compiled =
            || Compiled { matches: Matches::new(Vec::new()).into(), _taken: memory.take(1).unwrap() };
        kept.slot(&ids(id)).set(Arc::new(compiled())).unwrap();
        Arc::clone(kept.slot(&ids(id)).get().unwrap())
    }

    #[test]
    fn the_one_that_was_not_asked_for_the_longest_goes_first_and_none_in_use() {
        let (kept, memory) = (Kept::default(), Memory::new(10));
        let mut used: Vec<_> = (0..4).map(|id| fill(&kept, &memory, id)).collect();
        assert!(!kept.forget_oldest(), "all are used");
        // In use is 1; asked for in this order are 2, 3 and 0.
        used.drain(2..);
        used.remove(0);
        kept.slot(&ids(0));
        for (gone, left) in [(2, 3), (3, 2), (0, 1)] {
            assert!(kept.forget_oldest());
            assert_eq!((kept.lock().slots.len(), memory.used()), (left, left));
            assert!(!kept.lock().slots.contains_key(&ids(gone)), "{gone}");
        }
        assert!(!kept.forget_oldest());
        drop(used);
        assert!(kept.forget_oldest());
        assert_eq!((memory.used(), kept.lock().order.len()), (0, 0));
    }

    #[test]
    fn an_empty_place_stays_while_another_waits_for_it() {
        let kept = Kept::default();
        let [one, other] = [kept.slot(&ids(7)), kept.slot(&ids(7))];
        kept.forget_empty(&ids(7), one);
        assert_eq!(kept.lock().slots.len(), 1);
        kept.forget_empty(&ids(7), other);
        let state = kept.lock();
        assert!(state.slots.is_empty() && state.order.is_empty(), "{state:?}");
    }
}
