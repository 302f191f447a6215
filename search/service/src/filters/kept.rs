//! Filters that were compiled, the last asked for last.
use std::collections::hash_map::RandomState;
use std::collections::{BTreeMap, HashMap};
use std::hash::BuildHasher as _;
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

/// Tells filters apart: two hashes under keys that nobody knows, so that no two filters are taken for one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Key([u64; 2]);

/// Makes keys of filters.
#[derive(Debug, Clone, Default)]
pub(super) struct Keys([RandomState; 2]);

impl Keys {
    /// Reads the whole filter, which may be long.
    pub(super) fn of(&self, bound: &Bound) -> Key {
        let Keys([one, other]) = self;
        Key([one.hash_one(bound), other.hash_one(bound)])
    }
}

/// A filter that is compiled once for all who ask for it meanwhile.
type Slot = Arc<OnceCell<Arc<Compiled>>>;

/// Filters by what they say.
#[derive(Debug, Default)]
pub(super) struct Kept(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// When each was last asked for.
    last: HashMap<Key, u64>,
    /// The filters, by when they were last asked for.
    slots: BTreeMap<u64, One>,
    next: u64,
}

#[derive(Debug)]
struct One {
    key: Key,
    bound: Arc<Bound>,
    slot: Slot,
}

/// A filter that somebody asks for. Where it was not compiled, it is forgotten once the last who asks is gone.
pub(super) struct KeptFilter<'a> {
    kept: &'a Kept,
    key: Key,
    /// What all who ask for it share.
    pub(super) bound: Arc<Bound>,
    /// Empty until it is compiled.
    pub(super) slot: Slot,
    /// Whether nobody else asked for it.
    pub(super) is_first: bool,
}

impl State {
    fn find(&self, key: Key) -> Option<&One> {
        self.slots.get(self.last.get(&key)?)
    }

    fn remove(&mut self, key: Key) -> Option<One> {
        self.slots.remove(&self.last.remove(&key)?)
    }
}

impl Kept {
    fn lock(&self) -> MutexGuard<'_, State> {
        // No critical section panics half way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The filter with that key, if it was compiled.
    pub(super) fn compiled(&self, key: Key) -> Option<Arc<Compiled>> {
        self.lock().find(key)?.slot.get().cloned()
    }

    /// Whether the filter with that key was compiled, or is to be.
    pub(super) fn is_asked(&self, key: Key) -> bool {
        self.lock().find(key).is_some()
    }

    /// Asks for a filter, which may be compiled already, or be compiled by another call.
    pub(super) fn ask(&self, key: Key, bound: Bound) -> KeptFilter<'_> {
        let own = Arc::new(bound);
        let mut state = self.lock();
        let now = state.next;
        state.next += 1;
        let (bound, slot, is_first) = match state.remove(key) {
            Some(One { bound, slot, .. }) => (bound, slot, false),
            None => (Arc::clone(&own), Slot::default(), true),
        };
        state.last.insert(key, now);
        state.slots.insert(now, One { key, bound: Arc::clone(&bound), slot: Arc::clone(&slot) });
        // Its own, which may be long, goes after the lock.
        drop(state);
        KeptFilter { kept: self, key, bound, slot, is_first }
    }

    /// Forgets the filter that was not asked for the longest among those that nobody uses; false if all are used.
    pub(super) fn forget_oldest(&self) -> bool {
        let mut state = self.lock();
        let is_unused = |slot: &Slot| slot.get().is_some_and(|compiled| Arc::strong_count(compiled) == 1);
        let oldest = state.slots.values().find(|one| is_unused(&one.slot)).map(|one| one.key);
        let gone = oldest.and_then(|oldest| state.remove(oldest));
        // What it takes is given back after the lock.
        drop(state);
        gone.is_some()
    }

    /// Forgets all filters. Those that are in use are there until their last use ends.
    pub(super) fn forget_all(&self) {
        let gone = std::mem::take(&mut *self.lock());
        drop(gone);
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        let state = self.lock();
        state.last.is_empty() && state.slots.is_empty()
    }
}

impl Drop for KeptFilter<'_> {
    fn drop(&mut self) {
        if self.slot.initialized() {
            return;
        }
        let mut state = self.kept.lock();
        // Gone before the lock is: whoever takes it next does not count this one.
        let slot = std::mem::take(&mut self.slot);
        let is_there = state.find(self.key).is_some_and(|one| Arc::ptr_eq(&one.slot, &slot));
        // Those who have it: this one, and the state.
        let is_last = is_there && !slot.initialized() && Arc::strong_count(&slot) == 2;
        let gone = is_last.then(|| state.remove(self.key)).flatten();
        drop(state);
        drop(gone);
    }
}

#[cfg(test)]
mod tests {
    use super::super::memory::Memory;
    use super::*;

    fn key(id: u64) -> Key {
        Key([id, 0])
    }

    fn ask(kept: &Kept, id: u64) -> KeptFilter<'_> {
        kept.ask(key(id), Bound::Ids(vec![id]))
    }

    fn fill(kept: &Kept, memory: &Arc<Memory>, id: u64) -> Arc<Compiled> {
        let compiled =
            || Compiled { matches: Matches::new(Vec::new()).into(), _taken: memory.take(1).unwrap() };
        let asked = ask(kept, id);
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
        drop(ask(&kept, 0));
        for (gone, left) in [(2, 3), (3, 2), (0, 1)] {
            assert!(kept.forget_oldest());
            assert_eq!((kept.lock().slots.len(), memory.used()), (left, left));
            assert!(!kept.lock().last.contains_key(&key(gone)), "{gone}");
        }
        assert!(!kept.forget_oldest());
        drop(used);
        assert!(kept.forget_oldest());
        assert!(memory.used() == 0 && kept.is_empty());
    }

    #[test]
    fn one_that_is_not_compiled_stays_while_another_waits_for_it() {
        let kept = Kept::default();
        let [one, other] = [7, 7].map(|id| ask(&kept, id));
        drop(one);
        assert_eq!(kept.lock().slots.len(), 1);
        drop(other);
        assert!(kept.is_empty());
    }

    #[test]
    fn no_two_filters_have_one_key() {
        let keys = Keys::default();
        let bound =
            |ids: &[u64]| Bound::Or(vec![Bound::Ids(ids.to_vec()), Bound::Not(Bound::Ids(vec![]).into())]);
        let different = [bound(&[1, 2]), bound(&[1]), bound(&[12]), Bound::And(vec![]), Bound::Or(vec![])];
        let found: std::collections::HashSet<_> = different.iter().map(|bound| keys.of(bound)).collect();
        assert_eq!(found.len(), different.len());
        assert_eq!(keys.of(&bound(&[1, 2])), keys.clone().of(&bound(&[1, 2])));
        assert_ne!(keys.of(&bound(&[1])), Keys::default().of(&bound(&[1])));
        let Key([one, other]) = keys.of(&bound(&[1]));
        assert_ne!(one, other);
    }

    #[test]
    fn all_are_forgotten_but_for_those_in_use() {
        let (kept, memory) = (Kept::default(), Memory::new(10));
        let mut used: Vec<_> = (0..4).map(|id| fill(&kept, &memory, id)).collect();
        let [waiting, other] = [9, 9].map(|id| ask(&kept, id));
        used.drain(1..);
        kept.forget_all();
        assert!(kept.is_empty() && memory.used() == 1);
        // One that was asked for before is compiled for those who wait, and is not kept.
        let again = ask(&kept, 9);
        assert!(!Arc::ptr_eq(&waiting.slot, &again.slot));
        drop(waiting);
        drop(other);
        assert_eq!(kept.lock().slots.len(), 1, "another with its key stays");
        drop(again);
        drop(used);
        assert!(kept.is_empty() && memory.used() == 0);
    }
}
