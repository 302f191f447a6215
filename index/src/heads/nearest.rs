//! The nearest of many heads by their scores.
use super::beam::{key_of, node_of, score_of};
use crate::kernels::below;
use crate::order::{select_while, sort_while};

/// Groups of scores for each head wanted: about a fifth more scores than wanted then lie below the bound that the
/// groups give.
const GROUPS_PER_HEAD: usize = 3;

/// Groups at least.
const GROUPS_MIN: usize = 256;

/// Scores looked at between two questions whether to go on: about 0.1 ms.
const PIECE: usize = 1 << 16;

/// Working memory of a selection.
#[derive(Debug, Default)]
pub(super) struct Nearest {
    /// A score for every head, written by whoever asks.
    pub(super) scores: Vec<f32>,
    minima: Vec<f32>,
    picks: Vec<u32>,
    keys: Vec<u64>,
}

impl Nearest {
    /// Places for the scores of `count` heads.
    pub(super) fn scores(&mut self, count: usize) -> &mut [f32] {
        self.scores.resize(count, 0.0);
        &mut self.scores
    }

    /// The `k` smallest scores and whose they are, ascending by (score, head), into `out`. NaN comes last. None where `go_on`
    /// says no, which is asked now and then.
    ///
    /// Each group of scores has a smallest one, and the `k`-th of those is no less than the `k`-th of all. Neighbours
    /// in number are neighbours in space, so groups are made of scores far from each other.
    pub(super) fn select_while(
        &mut self,
        k: usize,
        out: &mut Vec<(f32, u32)>,
        go_on: &mut dyn FnMut() -> bool,
    ) {
        out.clear();
        let k = k.min(self.scores.len());
        if k > 0 && self.pick(k, go_on) && self.order(k, go_on) {
            out.extend(self.keys.iter().map(|&key| (score_of(key), node_of(key))));
        }
    }

    /// Picks the heads whose scores are below a bound that `k` of them are within, or none where there is no such bound.
    /// Says whether it came to an end.
    fn pick(&mut self, k: usize, go_on: &mut dyn FnMut() -> bool) -> bool {
        let Nearest { scores, minima, picks, .. } = self;
        picks.clear();
        let groups = (GROUPS_PER_HEAD * k).next_multiple_of(GROUPS_MIN);
        if 2 * groups > scores.len() {
            return true;
        }
        minima.clear();
        minima.resize(groups, f32::INFINITY);
        let mut looked = 0;
        for scores in scores.chunks(groups) {
            for (minima, scores) in minima.chunks_mut(PIECE).zip(scores.chunks(PIECE)) {
                looked += scores.len();
                if looked > PIECE {
                    looked = 0;
                    if !go_on() {
                        return false;
                    }
                }
                for (least, &score) in minima.iter_mut().zip(scores) {
                    *least = if score < *least { score } else { *least };
                }
            }
        }
        if !select_while(minima, k - 1, f32::total_cmp, go_on) {
            return false;
        }
        let bound = minima[k - 1];
        for (scores, first) in scores.chunks(PIECE).zip((0..).step_by(PIECE)) {
            if first > 0 && !go_on() {
                return false;
            }
            let before = picks.len();
            below(scores, bound, picks);
            picks[before..].iter_mut().for_each(|head| *head += first);
        }
        true
    }

    /// Puts the keys of the `k` nearest in order: of those picked, or of all where fewer than `k` were. Says whether it came
    /// to an end.
    fn order(&mut self, k: usize, go_on: &mut dyn FnMut() -> bool) -> bool {
        let Nearest { scores, picks, keys, .. } = self;
        keys.clear();
        if picks.len() < k {
            keys.extend(scores.iter().zip(0..).map(|(&score, head)| key_of(score, head)));
        } else {
            keys.extend(picks.iter().map(|&head| key_of(scores[head as usize], head)));
        }
        if keys.len() > k {
            if !select_while(keys, k - 1, u64::cmp, go_on) {
                return false;
            }
            keys.truncate(k);
        }
        sort_while(keys, u64::cmp, go_on)
    }

    /// Bytes allocated.
    pub(super) fn memory_bytes(&self) -> usize {
        4 * (self.scores.capacity() + self.minima.capacity() + self.picks.capacity())
            + 8 * self.keys.capacity()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selects_what_sorting_selects() {
        let special = |i: u32| match i % 211 {
            0 => f32::NAN,
            1 => f32::INFINITY,
            _ => (i.wrapping_mul(2_654_435_761) >> 20) as f32,
        };
        let ascending = |i: u32| i as f32;
        let descending = |i: u32| (5000 - i) as f32;
        let equal = |_: u32| 3.0;
        let mostly_nan = |i: u32| if i % 97 == 5 { i as f32 } else { f32::NAN };
        let mut nearest = Nearest::default();
        let mut out = Vec::new();
        for (name, score) in [
            ("special", &special as &dyn Fn(u32) -> f32),
            ("ascending", &ascending),
            ("descending", &descending),
            ("equal", &equal),
            ("mostly nan", &mostly_nan),
        ] {
            for count in [0, 1, 2, 511, 512, 513, 5000] {
                let mut expected: Vec<u64> = (0..count).map(|i| key_of(score(i), i)).collect();
                expected.sort_unstable();
                for k in [0, 1, 85, 86, 160, 833, 834, 4999, 6000] {
                    nearest.scores(count as usize).iter_mut().zip(0..).for_each(|(s, i)| *s = score(i));
                    nearest.select_while(k, &mut out, &mut || true);
                    let keys: Vec<u64> = out.iter().map(|&(s, head)| key_of(s, head)).collect();
                    assert_eq!(keys, expected[..k.min(expected.len())], "{name}: {k} of {count}");
                }
            }
        }
    }

    #[test]
    fn a_no_ends_a_selection() {
        let count = 1 << 20;
        let mut nearest = Nearest::default();
        let mut out = Vec::new();
        for k in [100, 10_000, 1 << 19] {
            nearest
                .scores(count)
                .iter_mut()
                .zip(0_u32..)
                .for_each(|(s, i)| *s = (i.wrapping_mul(2_654_435_761) >> 8) as f32);
            let mut questions = 0;
            nearest.select_while(k, &mut out, &mut || {
                questions += 1;
                true
            });
            assert_eq!(out.len(), k);
            assert!(questions >= 30, "{k}: {questions}");
            for no in 1..questions {
                let mut asked = 0;
                nearest.select_while(k, &mut out, &mut || {
                    asked += 1;
                    asked < no
                });
                assert_eq!((asked, out.len()), (no, 0), "{k}");
                if no > 40 {
                    break;
                }
            }
        }
    }
}
