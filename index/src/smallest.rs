//! The `k` smallest of many scores.
use crate::kernels::below;
use crate::order::{select_while, sort_while};

/// Scores looked at between two questions whether to go on: about 0.1 ms.
const PIECE: usize = 1 << 16;

/// What to select.
#[derive(Debug, Clone, Copy)]
pub struct Wanted {
    /// Number of scores.
    pub k: usize,
    /// Groups that the scores are dealt out to, from `k` to half of the scores; all scores are put in order where it is another number.
    /// More groups give a closer bound and cost more themselves.
    pub groups: usize,
}

/// Selects the `k` smallest scores; holds working memory.
#[derive(Debug, Default)]
pub struct KSmallest {
    minima: Vec<f32>,
    picks: Vec<u32>,
    keys: Vec<u64>,
}

impl KSmallest {
    /// The `k` smallest scores and their places, ascending, lower places first among equals, into `out`. None where `go_on`
    /// says no, which is asked now and then.
    ///
    /// `value` is what a score counts as and is returned as: 0 or more, in the order of the scores. NaN comes last.
    ///
    /// Each group of scores has a smallest one, and the `k`-th of those is no less than the `k`-th of all. Neighbours
    /// in number are neighbours in space, so groups are made of scores far from each other.
    pub fn select_while(
        &mut self,
        scores: &[f32],
        wanted: Wanted,
        value: impl Fn(f32) -> f32,
        out: &mut Vec<(f32, u32)>,
        go_on: &mut dyn FnMut() -> bool,
    ) {
        out.clear();
        let wanted = Wanted { k: wanted.k.min(scores.len()), ..wanted };
        if wanted.k > 0 && self.pick(scores, wanted, go_on) && self.order(scores, wanted.k, value, go_on) {
            // CAST: the two halves put together in `order`
            out.extend(self.keys.iter().map(|&key| (f32::from_bits((key >> 32) as u32), key as u32)));
        }
    }

    /// Picks the scores below a bound that `k` of them are within, or none where there is no such bound. Says whether it
    /// came to an end.
    fn pick(&mut self, scores: &[f32], wanted: Wanted, go_on: &mut dyn FnMut() -> bool) -> bool {
        let (KSmallest { minima, picks, .. }, Wanted { k, groups }) = (self, wanted);
        picks.clear();
        if groups < k || 2 * groups > scores.len() {
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
            picks[before..].iter_mut().for_each(|place| *place += first);
        }
        true
    }

    /// Puts the keys of the `k` smallest in order: of those picked, or of all where fewer than `k` were. Says whether it came
    /// to an end.
    fn order(
        &mut self,
        scores: &[f32],
        k: usize,
        value: impl Fn(f32) -> f32,
        go_on: &mut dyn FnMut() -> bool,
    ) -> bool {
        let KSmallest { picks, keys, .. } = self;
        // Bits of floats from zero up are in the order of their values.
        let key = |score, place| u64::from(value(score).to_bits()) << 32 | u64::from(place);
        keys.clear();
        if picks.len() < k {
            keys.extend(scores.iter().zip(0..).map(|(&score, place)| key(score, place)));
        } else {
            keys.extend(picks.iter().map(|&place| key(scores[place as usize], place)));
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
    #[cfg(test)]
    pub(crate) fn memory_bytes(&self) -> usize {
        4 * (self.minima.capacity() + self.picks.capacity()) + 8 * self.keys.capacity()
    }
}
