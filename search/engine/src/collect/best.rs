//! The k best of what was scanned, in any order of arrival.
use spandrel_index::Metric;
use spandrel_index::order::{dedup_while, select_while, sort_while};

use crate::terms::{End, Patience, Terms};

/// A candidate's place in the order of answers: by score, ties by id. Smaller is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    rank: u32,
    pub(crate) id: u64,
}

/// NaN, which only overflowing inner products give, comes after everything else.
const NAN_RANK: u32 = u32::MAX;

impl Key {
    pub(crate) fn new(score: f32, id: u64) -> Key {
        if score.is_nan() {
            return Key { rank: NAN_RANK, id };
        }
        // Minus zero and zero are one score.
        let bits = (score + 0.0).to_bits();
        // Bits of floats order like sign and magnitude: turn that into the order of unsigned numbers.
        let rank = if bits >> 31 == 1 { !bits } else { bits | 1 << 31 };
        Key { rank, id }
    }

    pub(crate) fn score(self) -> f32 {
        if self.rank == NAN_RANK {
            return f32::NAN;
        }
        f32::from_bits(if self.rank >> 31 == 1 { self.rank & !(1 << 31) } else { !self.rank })
    }

    /// The distance shown to the user.
    pub(crate) fn distance(self, metric: Metric) -> f32 {
        // Adding zero turns a minus zero into zero.
        metric.distance_of_score(self.score()) + 0.0
    }
}

/// Keeps the `k` smallest distinct keys of those offered.
///
/// Copies of a vector have the same score and id, so distinct keys are distinct vectors. Keys below the
/// bound are gathered, and thinned out to `k` when there are many: what is dropped could not be in the end.
#[derive(Debug, Default)]
pub(crate) struct Best {
    k: usize,
    /// Whether a key may be offered more than once.
    copies: bool,
    full: usize,
    keys: Vec<Key>,
    /// The k-th smallest key at the last thinning; no key from here on is wanted.
    bound: Option<Key>,
    bound_score: f32,
    patience: Patience,
}

impl Best {
    /// Forgets everything and keeps `k` from now on, while somebody waits for it by `terms`. `copies`: a vector may be offered
    /// more than once.
    pub(crate) fn reset(&mut self, k: usize, copies: bool, terms: &Terms) {
        (self.k, self.copies) = (k, copies);
        self.patience = Patience::of(terms);
        self.full = 2 * k + 64;
        self.keys.clear();
        self.bound = None;
        self.bound_score = f32::INFINITY;
    }

    /// Offers a candidate.
    pub(crate) fn offer(&mut self, score: f32, id: u64) {
        let key = Key::new(score, id);
        if self.bound.is_some_and(|bound| key >= bound) {
            return;
        }
        self.keys.push(key);
        if self.keys.len() >= self.full {
            self.thin();
        }
    }

    /// A score that the k-th best is not worse than: what it was when keys were last thinned out.
    pub(crate) fn bound_score(&self) -> f32 {
        self.bound_score
    }

    /// The k-th best score, or infinity while there are fewer candidates.
    pub(crate) fn kth_score(&mut self) -> f32 {
        self.thin();
        self.bound_score
    }

    /// The keys kept, best first.
    pub(crate) fn finish(&mut self) -> &[Key] {
        self.thin();
        let Best { keys, patience, .. } = self;
        if !sort_while(keys, Key::cmp, &mut || patience.go_on()) {
            self.give_up();
        }
        &self.keys
    }

    /// Looks whether the caller still waits.
    pub(crate) fn go_on(&mut self) -> bool {
        self.patience.go_on()
    }

    /// Why the keys are of no use: the caller gave up while they were put in order.
    pub(crate) fn end(&self) -> Option<End> {
        self.patience.end()
    }

    fn thin(&mut self) {
        let Best { k, copies, keys, patience, .. } = self;
        let mut go_on = || patience.go_on();
        let came = if *copies {
            sort_while(keys, Key::cmp, &mut go_on) && dedup_while(keys, |&key| key, &mut go_on)
        } else {
            keys.len() < *k || *k == 0 || select_while(keys, *k - 1, Key::cmp, &mut go_on)
        };
        if !came {
            return self.give_up();
        }
        keys.truncate(*k);
        if self.keys.len() == self.k
            && let Some(&last) = self.keys.last()
        {
            self.bound = Some(last);
            self.bound_score = if last.rank == NAN_RANK { f32::INFINITY } else { last.score() };
        }
    }

    /// Keeps nothing from here on.
    fn give_up(&mut self) {
        self.keys.clear();
        self.bound = Some(Key { rank: 0, id: 0 });
        self.bound_score = f32::NEG_INFINITY;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[test]
    fn keys_order_like_scores() {
        let scores = [f32::NEG_INFINITY, -3.0, -1e-40, 0.0, 1e-40, 2.0, f32::INFINITY, f32::NAN];
        for pair in scores.windows(2) {
            assert!(Key::new(pair[0], 9) < Key::new(pair[1], 0), "{pair:?}");
        }
        for score in &scores[..7] {
            assert_eq!(Key::new(*score, 1).score(), *score);
        }
        assert_eq!(Key::new(-0.0, 1), Key::new(0.0, 1));
        assert!(Key::new(1.0, 1) < Key::new(1.0, 2));
        assert_eq!(Key::new(0.0, 1).distance(Metric::InnerProduct).to_bits(), 0);
    }

    #[test]
    fn nothing_is_kept_for_a_caller_who_gave_up() {
        let stop = Arc::new(AtomicBool::new(false));
        let terms = Terms { stop: Some(Arc::clone(&stop)), deadline: None };
        for stopped in [false, true] {
            stop.store(false, Ordering::Relaxed);
            let mut top = Best::default();
            top.reset(10_000, false, &terms);
            (0..15_000).for_each(|id| top.offer((id * 7919 % 15_013) as f32, id));
            stop.store(stopped, Ordering::Relaxed);
            let kept = top.finish().len();
            // Also where the flag is taken back.
            stop.store(false, Ordering::Relaxed);
            top.offer(-1.0, 20_000);
            let (expected, end) = if stopped { (0, Some(End::Stopped)) } else { (10_000, None) };
            assert_eq!((kept, top.finish().len(), top.end()), (expected, expected, end));
            assert_eq!(top.bound_score() == f32::NEG_INFINITY, stopped);
        }
    }

    #[test]
    fn keeps_the_smallest_distinct_in_any_order() {
        for k in [1, 3, 10, 500] {
            // Few scores and each candidate twice: ties and replicas.
            let mut offered: Vec<(f32, u64)> = (0..1000_u64)
                .map(|i| ((i * 7919 % 23) as f32, i / 2 * 2))
                .map(|(s, i)| (s + i as f32, i))
                .collect();
            offered.extend(offered.clone());
            let mut expected: Vec<Key> = offered.iter().map(|&(s, i)| Key::new(s, i)).collect();
            expected.sort();
            expected.dedup();
            expected.truncate(k);
            for turn in 0..4 {
                offered.rotate_left(turn * 317);
                for copies in [true, false] {
                    let mut top = Best::default();
                    top.reset(k, copies, &Terms::default());
                    // The second time a vector comes it is a copy.
                    let mut seen = std::collections::HashSet::new();
                    for &(score, id) in &offered {
                        if score <= top.bound_score() && (seen.insert((score.to_bits(), id)) || copies) {
                            top.offer(score, id);
                        }
                    }
                    assert_eq!(top.finish(), expected, "k {k}, turn {turn}, copies {copies}");
                }
            }
        }
    }
}
