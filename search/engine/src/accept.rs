//! Which vectors may be answers.
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use spandrel_index::{Index, Location};

/// Says which vectors may be answers of a search. Search threads ask it, several at once.
///
/// It is asked before a vector is kept by its estimate and before a page is read for it, so that only pages of vectors that
/// may be answers are read. Lists are read, nearest first, until they hold enough of these vectors.
pub trait Accept: fmt::Debug + Send + Sync {
    /// Whether the vector there may be an answer.
    fn accepts(&self, location: Location) -> bool;

    /// How many vectors of a segment, at `positions`, may be answers: exactly those that are accepted one by one.
    fn count(&self, segment: u16, positions: Range<u32>) -> u64;
}

/// Two are equal if they are one.
impl PartialEq for dyn Accept {
    fn eq(&self, other: &dyn Accept) -> bool {
        std::ptr::addr_eq(self, other)
    }
}

/// A bit for each vector of an index.
#[derive(Clone, PartialEq, Eq)]
pub struct AcceptBits {
    /// Of each segment, 64 positions a word.
    segments: Vec<Vec<u64>>,
}

impl AcceptBits {
    /// Accepts no vector of `index` so far. Takes a bit of memory for each.
    pub fn none(index: &Index) -> AcceptBits {
        // CAST: a segment has at most 2^32 positions
        let words = |vectors: u64| vec![0; vectors.div_ceil(64) as usize];
        AcceptBits { segments: index.segments().iter().map(|segment| words(segment.count)).collect() }
    }

    /// Accepts a vector too.
    ///
    /// # Panics
    /// When the index has no such location.
    pub fn insert(&mut self, location: Location) {
        let position = location.position();
        self.segments[usize::from(location.segment())][position as usize / 64] |= 1 << (position % 64);
    }
}

impl fmt::Debug for AcceptBits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count: u64 = self.segments.iter().flatten().map(|word| u64::from(word.count_ones())).sum();
        write!(f, "AcceptBits({count} vectors)")
    }
}

impl Accept for AcceptBits {
    fn accepts(&self, location: Location) -> bool {
        let position = location.position();
        let word =
            self.segments.get(usize::from(location.segment())).and_then(|s| s.get(position as usize / 64));
        word.is_some_and(|word| word >> (position % 64) & 1 == 1)
    }

    fn count(&self, segment: u16, positions: Range<u32>) -> u64 {
        let Some(words) = self.segments.get(usize::from(segment)) else { return 0 };
        if positions.is_empty() {
            return 0;
        }
        let last = positions.end - 1;
        let (first_word, last_word) = (positions.start as usize / 64, last as usize / 64);
        let of_word = |at: usize| {
            let mut word = words.get(at).copied().unwrap_or_default();
            if at == first_word {
                word &= u64::MAX << (positions.start % 64);
            }
            if at == last_word {
                word &= u64::MAX >> (63 - last % 64);
            }
            u64::from(word.count_ones())
        };
        (first_word..=last_word).map(of_word).sum()
    }
}

/// What a query may be answered with: everything, unless the search came with an [`Accept`].
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Accepted(pub(crate) Option<Arc<dyn Accept>>);

impl Accepted {
    /// Whether the vector there may be an answer.
    #[inline]
    pub(crate) fn has(&self, location: Location) -> bool {
        self.0.as_ref().is_none_or(|accept| accept.accepts(location))
    }

    /// Whether every vector may be an answer.
    #[inline]
    pub(crate) fn is_all(&self) -> bool {
        self.0.is_none()
    }

    /// Of the vectors of a segment at `positions`, those that may be answers.
    #[inline]
    pub(crate) fn count(&self, segment: u16, positions: Range<u32>) -> u64 {
        match &self.0 {
            None => positions.len() as u64, // CAST: widening
            Some(accept) => accept.count(segment, positions),
        }
    }
}

#[cfg(test)]
mod tests {
    use spandrel_index::testing::TestIndex;
    use spandrel_index::{DType, Metric};

    use super::*;

    #[test]
    fn bits_are_counted_as_they_are_asked_one_by_one() {
        let dir = tempfile::tempdir().unwrap();
        TestIndex::random(Metric::L2, DType::U8, 4, 300).write(dir.path());
        let mut bits = AcceptBits::none(&Index::open(dir.path()).unwrap());
        assert_eq!(bits.count(0, 0..300), 0);
        (0..300)
            .filter(|p| p % 7 < 3 || (64..128).contains(p))
            .for_each(|p| bits.insert(Location::new(0, p)));
        for start in [0, 1, 63, 64, 65, 200, 300] {
            for end in [0, 1, 63, 64, 65, 128, 129, 256, 299, 300] {
                let accepted = (start..end).filter(|&p| bits.accepts(Location::new(0, p))).count();
                assert_eq!(bits.count(0, start..end), accepted as u64, "{start}..{end}");
            }
        }
        assert!(!bits.accepts(Location::new(0, 1000)) && !bits.accepts(Location::new(1, 0)));
        assert_eq!(bits.count(1, 0..300), 0);
    }
}
