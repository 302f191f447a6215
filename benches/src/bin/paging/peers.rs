//! Caches to compare with.
use std::collections::{BTreeSet, HashMap};

/// The least recently used page leaves.
pub(crate) struct Lru {
    slots: usize,
    now: usize,
    last: HashMap<u64, usize>,
    order: BTreeSet<(usize, u64)>,
}

impl Lru {
    pub(crate) fn new(slots: usize) -> Lru {
        Lru { slots, now: 0, last: HashMap::new(), order: BTreeSet::new() }
    }

    /// Asks for a page; whether it was held.
    pub(crate) fn request(&mut self, page: u64) -> bool {
        self.now += 1;
        let before = self.last.insert(page, self.now);
        if let Some(before) = before {
            self.order.remove(&(before, page));
        } else if self.order.len() == self.slots
            && let Some((_, left)) = self.order.pop_first()
        {
            self.last.remove(&left);
        }
        self.order.insert((self.now, page));
        before.is_some()
    }
}

/// What a cache does that knows the future: the page leaves that is asked for last (Belady, "A study of replacement algorithms for a
/// virtual-storage computer", 1966).
pub(crate) struct Optimal {
    /// Share of requests that are hits.
    pub(crate) hits: f64,
    /// Of each request, whether the page stays until the next one for it.
    pub(crate) again: Vec<bool>,
}

impl Optimal {
    pub(crate) fn of(requests: &[u64], slots: usize) -> Optimal {
        let mut next = vec![usize::MAX; requests.len()];
        let mut seen = HashMap::new();
        for (at, &page) in requests.iter().enumerate().rev() {
            next[at] = seen.insert(page, at).unwrap_or(usize::MAX);
        }
        // Pages held: when each is asked for next, and when it was last.
        let mut held: BTreeSet<(usize, usize)> = BTreeSet::new();
        let mut last = HashMap::new();
        let (mut hits, mut again) = (0usize, vec![true; requests.len()]);
        for (at, &page) in requests.iter().enumerate() {
            if last.insert(page, at).is_some_and(|before| held.remove(&(at, before))) {
                hits += 1;
            } else if held.len() == slots
                && let Some((_, gone)) = held.pop_last()
            {
                again[gone] = false;
            }
            held.insert((next[at], at));
        }
        Optimal { hits: hits as f64 / requests.len().max(1) as f64, again } // CAST: exact below 2^53
    }
}
