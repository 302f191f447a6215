//! Which vectors of an index match a filter.
//!
//! A position is a place in list order, so that a list is a range of positions, and how many of its vectors match is a count of
//! bits.
use std::ops::Range;
use std::sync::Arc;

use crate::segment_matches::{SegmentMatches, words_of};
use crate::{Index, Location};

const WORD: u32 = u64::BITS;

/// Which vectors of an index match: of each segment, some of its positions. In an index of documents these are numbers of documents.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Matches {
    segments: Vec<SegmentMatches>,
    count: u64,
    blocks: u64,
    tokens: Option<Arc<Matches>>,
}

impl Matches {
    /// Of each segment of an index, in the order of the manifest, its matches.
    pub fn new(segments: Vec<SegmentMatches>) -> Matches {
        let count = segments.iter().map(SegmentMatches::count).sum();
        let blocks = segments.iter().map(SegmentMatches::blocks).sum();
        Matches { segments, count, blocks, tokens: None }
    }

    /// Documents that match, with the positions of their tokens.
    pub(crate) fn with_tokens(self, tokens: SegmentMatches) -> Matches {
        Matches { tokens: Some(Arc::new(Matches::new(vec![tokens]))), ..self }
    }

    /// Where documents match: the positions of their tokens in the lists.
    pub fn tokens(&self) -> Option<&Arc<Matches>> {
        self.tokens.as_ref()
    }

    /// Those vectors of an index of which `is_match` says so; it is asked for each, in order.
    pub fn of(index: &Index, mut is_match: impl FnMut(Location) -> bool) -> Matches {
        let of_segment = |(number, positions): (u16, u64)| {
            let mut words = vec![0_u64; words_of(positions)];
            for (at, word) in (0..).zip(&mut words) {
                // CAST: a segment has fewer than 2^32 positions
                let bits = (positions - u64::from(at * WORD)).min(WORD.into()) as u32;
                let is_match = |&bit: &u32| is_match(Location::new(number, at * WORD + bit));
                *word = (0..bits).filter(is_match).fold(0, |word, bit| word | 1 << bit);
            }
            SegmentMatches::from_words(words, positions)
        };
        let counts = index.segments().iter().map(|segment| segment.count);
        Matches::new((0..).zip(counts).map(of_segment).collect())
    }

    /// Matches in all.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Blocks of sixteen positions that hold one or more, as codes in memory lie.
    pub fn blocks(&self) -> u64 {
        self.blocks
    }

    /// Those of each segment.
    pub fn segments(&self) -> &[SegmentMatches] {
        &self.segments
    }

    /// Whether the vector there matches; none does where the index has no such location.
    #[inline]
    pub fn contains(&self, location: Location) -> bool {
        let segment = self.segments.get(usize::from(location.segment()));
        segment.is_some_and(|segment| segment.contains(location.position()))
    }

    /// Matches of a segment among some positions.
    #[inline]
    pub fn count_in(&self, segment: u16, positions: Range<u32>) -> u64 {
        self.segments.get(usize::from(segment)).map_or(0, |segment| segment.count_in(positions))
    }

    /// Where they lie, ascending.
    pub fn iter(&self) -> impl Iterator<Item = Location> {
        let numbered = (0..).zip(&self.segments);
        numbered.flat_map(|(number, segment)| {
            segment.within(0..u32::MAX).map(move |at| Location::new(number, at))
        })
    }

    /// Memory that they take.
    pub fn memory_bytes(&self) -> usize {
        let tokens = self.tokens.as_ref().map_or(0, |tokens| tokens.memory_bytes());
        self.segments.iter().map(SegmentMatches::memory_bytes).sum::<usize>() + tokens
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_are_told_apart() {
        let few = SegmentMatches::from_sorted(vec![7, 9000], 10_000);
        let all = SegmentMatches::from_sorted((0..100).collect(), 100);
        let matches = Matches::new(vec![few, all]);
        assert_eq!(matches.count(), 102);
        assert!(matches.contains(Location::new(0, 9000)) && !matches.contains(Location::new(0, 8)));
        assert!(matches.contains(Location::new(1, 8)) && !matches.contains(Location::new(1, 100)));
        assert!(!matches.contains(Location::new(2, 7)));
        assert_eq!((matches.count_in(1, 90..200), matches.count_in(2, 0..9)), (10, 0));
        let first: Vec<Location> = matches.iter().take(3).collect();
        assert_eq!(first, [Location::new(0, 7), Location::new(0, 9000), Location::new(1, 0)]);
        assert_eq!(matches.iter().count(), 102);
        // Two positions and four counts of 4 bytes, two words, and three runs.
        assert_eq!(matches.memory_bytes(), 8 + 16 + 16 + 3 * 8);
    }
}
