//! What a part of a filter matches in a segment, while the filter is compiled.
use super::positions::Positions;
use super::union::Union;
use crate::segment_matches::PositionsView;

/// Some positions of a segment, or all but these.
#[derive(Debug, Clone)]
pub(super) struct Set {
    pub(super) positions: Positions,
    pub(super) is_complement: bool,
}

impl Set {
    pub(super) fn of(positions: Positions) -> Set {
        Set { positions, is_complement: false }
    }

    pub(super) fn all() -> Set {
        Set::of(Positions::none()).complement()
    }

    pub(super) fn complement(self) -> Set {
        Set { is_complement: !self.is_complement, ..self }
    }

    pub(super) fn is_empty(&self) -> bool {
        !self.is_complement && self.positions.is_empty()
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.positions.memory_bytes()
    }

    /// How many positions these are, of `positions` in all.
    pub(super) fn count(&self, positions: u64) -> u64 {
        let count = match self.positions.view() {
            PositionsView::Sorted(sorted) => sorted.len() as u64, // CAST: widening
            PositionsView::Words(words) => words.iter().map(|word| u64::from(word.count_ones())).sum(),
        };
        if self.is_complement { positions - count } else { count }
    }

    /// Positions in both, of `positions` in all.
    pub(super) fn and(self, other: Set, positions: u64) -> Set {
        let (a, b) = (self.positions, other.positions);
        match (self.is_complement, other.is_complement) {
            (false, false) => Set::of(a.and(b)),
            (false, true) => Set::of(a.and_not(&b)),
            (true, false) => Set::of(b.and_not(&a)),
            (true, true) => {
                let mut union = Union::new(positions);
                union.add(a.view());
                union.add(b.view());
                Set::of(union.finish()).complement()
            }
        }
    }

    /// Positions in either, of `positions` in all.
    pub(super) fn or(self, other: Set, positions: u64) -> Set {
        self.complement().and(other.complement(), positions).complement()
    }
}
