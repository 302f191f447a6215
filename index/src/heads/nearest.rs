//! The nearest of many heads by their scores.
use crate::smallest::{KSmallest, Wanted};

/// Groups of scores for each head wanted: about a fifth more scores than wanted then lie below the bound that the
/// groups give.
const GROUPS_PER_HEAD: usize = 3;

/// Groups at least.
const GROUPS_MIN: usize = 256;

/// Working memory of a selection.
#[derive(Debug, Default)]
pub(super) struct NearestHeads {
    /// A score for every head, written by whoever asks.
    pub(super) scores: Vec<f32>,
    smallest: KSmallest,
}

impl NearestHeads {
    /// Places for the scores of `count` heads.
    pub(super) fn scores(&mut self, count: usize) -> &mut [f32] {
        self.scores.resize(count, 0.0);
        &mut self.scores
    }

    /// The `k` smallest scores and whose they are, ascending by (score, head), into `out`. NaN comes last. None where `go_on`
    /// says no, which is asked now and then. A squared distance is not negative.
    pub(super) fn select_while(
        &mut self,
        k: usize,
        out: &mut Vec<(f32, u32)>,
        go_on: &mut dyn FnMut() -> bool,
    ) {
        self.smallest.select_while(&self.scores, wanted(k), f32::abs, out, go_on);
    }

    /// As [`NearestHeads::select_while`], of scores that lie elsewhere.
    pub(super) fn select_of(
        &mut self,
        scores: &[f32],
        k: usize,
        out: &mut Vec<(f32, u32)>,
        go_on: &mut dyn FnMut() -> bool,
    ) {
        self.smallest.select_while(scores, wanted(k), f32::abs, out, go_on);
    }

    /// Bytes allocated.
    #[cfg(test)]
    pub(super) fn memory_bytes(&self) -> usize {
        4 * self.scores.capacity() + self.smallest.memory_bytes()
    }
}

fn wanted(k: usize) -> Wanted {
    Wanted { k, groups: (GROUPS_PER_HEAD * k).next_multiple_of(GROUPS_MIN) }
}

#[cfg(test)]
mod tests {
    use super::super::beam::key_of;
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
        let mut nearest = NearestHeads::default();
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
        let mut nearest = NearestHeads::default();
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
