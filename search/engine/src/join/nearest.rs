//! The nearest of one row so far.
use crate::collect::Key;

/// Keeps the `k` smallest keys of those offered, in order.
#[derive(Debug, Clone, Default)]
pub(super) struct RowNearest {
    k: usize,
    keys: Vec<Key>,
    /// No score above this is wanted: that of the radius, or of the `k`-th once there are `k`.
    limit: f32,
}

impl RowNearest {
    pub(super) fn new(k: usize, limit: f32) -> RowNearest {
        RowNearest { k, keys: Vec::with_capacity(k), limit }
    }

    /// No score above this is wanted.
    pub(super) fn limit(&self) -> f32 {
        self.limit
    }

    /// Whether `k` were found.
    pub(super) fn is_full(&self) -> bool {
        self.keys.len() == self.k
    }

    pub(super) fn offer(&mut self, score: f32, id: u64) {
        let key = Key::new(score, id);
        if self.is_full() {
            if self.keys.last().is_none_or(|&last| key >= last) {
                return;
            }
            self.keys.pop();
        }
        let at = self.keys.partition_point(|&before| before < key);
        self.keys.insert(at, key);
        if self.is_full()
            && let Some(last) = self.keys.last()
        {
            self.limit = self.limit.min(last.score());
        }
    }

    /// What was found, best first.
    pub(super) fn into_keys(self) -> Vec<Key> {
        self.keys
    }

    /// What was found, best first.
    pub(super) fn keys(&self) -> &[Key] {
        &self.keys
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_are_kept_in_order() {
        let mut nearest = RowNearest::new(3, 50.0);
        for (number, score) in [9.0, 3.0, 7.0, 3.0, 8.0, 1.0].into_iter().enumerate() {
            nearest.offer(score, 10 - number as u64);
        }
        let found: Vec<(f32, u64)> = nearest.keys().iter().map(|key| (key.score(), key.id)).collect();
        assert_eq!(found, [(1.0, 5), (3.0, 7), (3.0, 9)]);
        assert_eq!(nearest.limit(), 3.0);
        nearest.offer(3.0, 8);
        assert_eq!(nearest.keys().iter().map(|key| key.id).collect::<Vec<_>>(), [5, 7, 8]);
        let mut within = RowNearest::new(2, 5.0);
        within.offer(4.0, 1);
        assert_eq!((within.limit(), within.is_full()), (5.0, false));
    }
}
