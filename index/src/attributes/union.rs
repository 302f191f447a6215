//! Gathers positions from many sets at once.
use super::positions::{self, Positions};
use crate::segment_matches::{PositionsView, words_of};

/// Up to one position in this many is sorted; more are set as bits, which takes less time.
const PILE: u64 = 1024;

/// Positions of any of some sets.
#[derive(Debug)]
pub(super) struct Union {
    /// Positions of the segment.
    positions: u64,
    /// In no order, some more than once, while they are few.
    pile: Vec<u32>,
    words: Option<Vec<u64>>,
}

impl Union {
    pub(super) fn new(positions: u64) -> Union {
        Union { positions, pile: Vec::new(), words: None }
    }

    pub(super) fn add(&mut self, set: PositionsView<'_>) {
        match set {
            PositionsView::Sorted(sorted) if self.words.is_none() && self.fits(sorted.len()) => {
                self.pile.extend_from_slice(sorted);
            }
            PositionsView::Sorted(sorted) => positions::set(self.words(), sorted),
            PositionsView::Words(others) => {
                self.words().iter_mut().zip(others).for_each(|(word, other)| *word |= other);
            }
        }
    }

    /// Bytes that it takes.
    pub(super) fn bytes(&self) -> usize {
        size_of_val(&self.pile[..]) + self.words.as_ref().map_or(0, |words| size_of_val(&words[..]))
    }

    pub(super) fn finish(self) -> Positions {
        let Union { mut pile, words, .. } = self;
        match words {
            Some(words) => Positions::Words(words),
            None => {
                pile.sort_unstable();
                pile.dedup();
                Positions::Sorted(pile)
            }
        }
    }

    fn fits(&self, count: usize) -> bool {
        (self.pile.len() + count) as u64 <= self.positions / PILE // CAST: widening
    }

    fn words(&mut self) -> &mut [u64] {
        let pile = std::mem::take(&mut self.pile);
        let words = self.words.get_or_insert_with(|| vec![0; words_of(self.positions)]);
        positions::set(words, &pile);
        words
    }
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    #[test]
    fn unions_hold_what_any_set_does() {
        const POSITIONS: u32 = 20_000;
        let mut rng = ChaCha8Rng::seed_from_u64(6);
        for (sets, share) in [(0, 0.0), (1, 0.0005), (9, 0.0001), (9, 0.001), (3, 0.3)] {
            let mut expected = std::collections::BTreeSet::new();
            let mut union = Union::new(POSITIONS.into());
            for _ in 0..sets {
                let some: Vec<u32> = (0..POSITIONS).filter(|_| rng.random_bool(share)).collect();
                union.add(
                    Positions::Shared(Positions::Sorted(some.clone()).into_matches(POSITIONS.into())).view(),
                );
                expected.extend(some);
            }
            assert_eq!(union.bytes() > 8 * POSITIONS as usize / 64, expected.len() > 40, "{share}");
            let found = union.finish().into_matches(POSITIONS.into());
            assert!(found.within(0..POSITIONS).eq(expected.iter().copied()), "{sets} of {share}");
        }
    }
}
