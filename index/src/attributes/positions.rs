//! Sets of positions while a filter is compiled.
use std::ops::Range;

use crate::segment_matches::{PositionsView, SegmentMatches, is_sparse, words_of, words_with};

const WORD: u32 = u64::BITS;

/// Some positions of a segment.
#[derive(Debug, Clone)]
pub(super) enum Positions {
    /// Ascending.
    Sorted(Vec<u32>),
    /// A bit for each position of the segment, 64 a word.
    Words(Vec<u64>),
    /// Those of a posting, which others hold as well.
    Shared(SegmentMatches),
}

impl Positions {
    pub(super) fn none() -> Positions {
        Positions::Sorted(Vec::new())
    }

    /// Room for `count` of `positions`.
    pub(super) fn with_room(count: u64, positions: u64) -> Positions {
        if is_sparse(count, positions) {
            Positions::Sorted(Vec::with_capacity(count as usize)) // CAST: usize is 64 bits
        } else {
            Positions::Words(vec![0; words_of(positions)])
        }
    }

    pub(super) fn view(&self) -> PositionsView<'_> {
        match self {
            Positions::Sorted(sorted) => PositionsView::Sorted(sorted),
            Positions::Words(words) => PositionsView::Words(words),
            Positions::Shared(matches) => matches.view(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        match self.view() {
            PositionsView::Sorted(sorted) => sorted.is_empty(),
            PositionsView::Words(words) => words.iter().all(|&word| word == 0),
        }
    }

    pub(super) fn memory_bytes(&self) -> usize {
        match self.view() {
            PositionsView::Sorted(sorted) => size_of_val(sorted),
            PositionsView::Words(words) => size_of_val(words),
        }
    }

    /// Those in both.
    pub(super) fn and(self, other: Positions) -> Positions {
        match (self.view(), other.view()) {
            (PositionsView::Sorted(_), PositionsView::Words(words)) => self.retain(|at| has(words, at)),
            (PositionsView::Words(words), PositionsView::Sorted(_)) => other.retain(|at| has(words, at)),
            (PositionsView::Sorted(a), PositionsView::Sorted(b)) => {
                let (few, many) = if a.len() <= b.len() { (a, b) } else { (b, a) };
                let mut rest = many;
                Positions::Sorted(few.iter().copied().filter(|&at| goes_to(&mut rest, at)).collect())
            }
            (PositionsView::Words(_), PositionsView::Words(_)) => {
                let (mut words, other) = match other {
                    Positions::Words(words) => (words, self),
                    other => (self.into_words(), other),
                };
                zip_words(&mut words, &other, |a, b| a & b);
                Positions::Words(words)
            }
        }
    }

    /// Those that `other` does not have.
    pub(super) fn and_not(self, other: &Positions) -> Positions {
        match (self.view(), other.view()) {
            (PositionsView::Sorted(_), PositionsView::Words(words)) => self.retain(|at| !has(words, at)),
            (PositionsView::Sorted(_), PositionsView::Sorted(mut rest)) => {
                self.retain(|at| !goes_to(&mut rest, at))
            }
            (PositionsView::Words(_), PositionsView::Words(_)) => {
                let mut words = self.into_words();
                zip_words(&mut words, other, |a, b| a & !b);
                Positions::Words(words)
            }
            (PositionsView::Words(_), PositionsView::Sorted(sorted)) => {
                let mut words = self.into_words();
                change(&mut words, sorted, |word, bit| word & !bit);
                Positions::Words(words)
            }
        }
    }

    /// Of `positions` in all, what a filter matches.
    pub(super) fn into_matches(self, positions: u64) -> SegmentMatches {
        match self {
            Positions::Sorted(sorted) => SegmentMatches::from_sorted(sorted, positions),
            Positions::Words(words) => SegmentMatches::from_words(words, positions),
            Positions::Shared(matches) => matches,
        }
    }

    /// The others of `positions` in all.
    pub(super) fn into_others(self, positions: u64) -> SegmentMatches {
        let mut words = match self.view() {
            PositionsView::Words(_) => {
                let mut words = self.into_words();
                words.iter_mut().for_each(|word| *word = !*word);
                words
            }
            PositionsView::Sorted(sorted) => {
                let mut words = vec![u64::MAX; words_of(positions)];
                change(&mut words, sorted, |word, bit| word & !bit);
                words
            }
        };
        let beyond = positions % u64::from(WORD);
        if let Some(last) = words.last_mut().filter(|_| beyond > 0) {
            *last &= (1 << beyond) - 1;
        }
        SegmentMatches::from_words(words, positions)
    }

    /// Of sorted ones those that `is_kept` says.
    fn retain(self, mut is_kept: impl FnMut(u32) -> bool) -> Positions {
        Positions::Sorted(match self {
            Positions::Sorted(mut sorted) => {
                sorted.retain(|&at| is_kept(at));
                sorted
            }
            other => match other.view() {
                PositionsView::Sorted(sorted) => sorted.iter().copied().filter(|&at| is_kept(at)).collect(),
                PositionsView::Words(_) => unreachable!("the caller has sorted positions"),
            },
        })
    }

    fn into_words(self) -> Vec<u64> {
        match self {
            Positions::Words(words) => words,
            other => match other.view() {
                PositionsView::Words(words) => words.to_vec(),
                PositionsView::Sorted(_) => unreachable!("the caller has words"),
            },
        }
    }
}

/// Sets the bits of positions.
pub(super) fn set(words: &mut [u64], sorted: &[u32]) {
    change(words, sorted, |word, bit| word | bit);
}

/// Sets the bits of positions next to each other, at least one.
pub(super) fn set_range(words: &mut [u64], range: Range<u32>) {
    words_with(range, |at, mask| {
        if let Some(word) = words.get_mut(at) {
            *word |= mask;
        }
    });
}

fn change(words: &mut [u64], sorted: &[u32], of_word: impl Fn(u64, u64) -> u64) {
    for &at in sorted {
        if let Some(word) = words.get_mut((at / WORD) as usize) {
            *word = of_word(*word, 1 << (at % WORD));
        }
    }
}

fn zip_words(words: &mut [u64], other: &Positions, of_both: impl Fn(u64, u64) -> u64) {
    if let PositionsView::Words(others) = other.view() {
        words.iter_mut().zip(others).for_each(|(word, other)| *word = of_both(*word, *other));
    }
}

fn has(words: &[u64], at: u32) -> bool {
    words.get((at / WORD) as usize).is_some_and(|word| word >> (at % WORD) & 1 == 1)
}

/// Drops what is below `at`, and tells whether `at` comes next. The step doubles each time, so that dropping `n` positions
/// takes about `2 log2 n` looks.
fn goes_to(rest: &mut &[u32], at: u32) -> bool {
    let mut step = 1;
    while rest.get(step).is_some_and(|&next| next < at) {
        step *= 2;
    }
    let from = step / 2;
    let last = rest.get(from..rest.len().min(step + 1)).unwrap_or_default();
    let passed = from + last.partition_point(|&next| next < at);
    *rest = rest.get(passed..).unwrap_or_default();
    rest.first() == Some(&at)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    const POSITIONS: u32 = 10_000;

    /// The same positions in every form that may hold them.
    fn forms(positions: &BTreeSet<u32>) -> Vec<Positions> {
        let sorted: Vec<u32> = positions.iter().copied().collect();
        let mut words = vec![0; words_of(POSITIONS.into())];
        set(&mut words, &sorted);
        let shared = SegmentMatches::from_sorted(sorted.clone(), POSITIONS.into());
        vec![Positions::Sorted(sorted), Positions::Words(words), Positions::Shared(shared)]
    }

    fn all(matches: &SegmentMatches) -> BTreeSet<u32> {
        matches.within(0..POSITIONS).collect()
    }

    #[test]
    fn sets_of_any_form_are_drawn_together() {
        let mut rng = ChaCha8Rng::seed_from_u64(4);
        let shares = [0.0, 0.0003, 0.004, 0.3, 1.0];
        for (left, right) in shares.iter().flat_map(|left| shares.iter().map(move |right| (left, right))) {
            let [a, b] = [left, right]
                .map(|share| (0..POSITIONS).filter(|_| rng.random_bool(*share)).collect::<BTreeSet<u32>>());
            for (left, right) in
                forms(&a).iter().flat_map(|left| forms(&b).into_iter().map(move |right| (left, right)))
            {
                assert_eq!((left.is_empty(), right.is_empty()), (a.is_empty(), b.is_empty()));
                let both = left.clone().and(right.clone()).into_matches(POSITIONS.into());
                assert_eq!(all(&both), &a & &b, "{left:?} and {right:?}");
                let without = left.clone().and_not(&right).into_matches(POSITIONS.into());
                assert_eq!(all(&without), &a - &b, "{left:?} and not {right:?}");
                let others = left.clone().into_others(POSITIONS.into());
                assert_eq!(all(&others), &(0..POSITIONS).collect() - &a, "all but {left:?}");
            }
        }
    }

    #[test]
    fn positions_are_gone_to_from_any_distance() {
        let sorted: Vec<u32> = (0..1000).map(|at| at * 3).collect();
        for (from, to) in
            [(0, 0), (0, 1), (0, 2999), (5, 6), (5, 300), (1000, 2997), (2997, 2998), (2999, 3000)]
        {
            let mut rest = sorted.as_slice();
            assert_eq!(goes_to(&mut rest, from), from % 3 == 0 && from < 3000, "{from}");
            assert_eq!(goes_to(&mut rest, to), to % 3 == 0 && to < 3000, "{from} to {to}");
            assert!(rest.iter().eq(sorted.iter().filter(|&&at| at >= to)), "{from} to {to}");
        }
    }
}
