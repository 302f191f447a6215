//! Reading postings: from the cache, from memory, or from SSD.
use std::ops::Range;

use super::cache::{CachedPart, Key, Piece};
use super::dictionary::{Held, Place};
use super::forward::Arity;
use super::malformed::Expected;
use super::positions::Positions;
use super::posting;
use super::seal::Part;
use super::stored::{READ_BYTES, StoredAttribute};
use crate::format::OpenError;
use crate::segment_matches::{PositionsView, SegmentMatches};

impl StoredAttribute {
    /// Positions without a value.
    ///
    /// # Errors
    /// [`OpenError`] when they cannot be read or are damaged.
    pub(crate) fn nulls(&self) -> Result<SegmentMatches, OpenError> {
        if let Some(nulls) = self.kept_nulls() {
            return Ok(nulls);
        }
        self.keep_nulls(&self.piece(Part::Nulls, 0, self.foot.nulls_at..self.foot.places_at)?)
    }

    /// Positions without a value, if they were read before and kept.
    pub(super) fn kept_nulls(&self) -> Option<SegmentMatches> {
        self.cached(CachedPart::Nulls)
    }

    /// Positions without a value, out of their bytes, whose sum held.
    pub(super) fn keep_nulls(&self, bytes: &[u8]) -> Result<SegmentMatches, OpenError> {
        let expected = Expected { cardinality: self.foot.nulls, positions: u64::from(self.positions) };
        let nulls = posting::read(bytes, expected).map_err(|malformed| self.malformed("nulls", malformed))?;
        Ok(self.keep(CachedPart::Nulls, nulls))
    }

    /// Positions of value `number`, whose entry is `held`.
    pub(super) fn posting(&self, number: u32, held: Held) -> Result<Positions, OpenError> {
        let part = CachedPart::Posting(number);
        match held.place {
            Place::One(position) => Ok(Positions::Sorted(vec![position])),
            Place::Posting { .. } => Ok(Positions::Shared(match self.cached(part) {
                Some(positions) => positions,
                None => self.keep(part, self.decode(number, held, &self.bytes(posting_range(held))?)?),
            })),
        }
    }

    /// Hands the positions of several values, by ascending number, to `take`. Those that are not in the cache and lie
    /// close together are read together.
    pub(super) fn postings<E: From<OpenError>>(
        &self,
        values: &[(u32, Held)],
        mut take: impl FnMut(PositionsView<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut missing = Vec::new();
        for &(number, held) in values {
            match held.place {
                Place::One(position) => take(PositionsView::Sorted(&[position]))?,
                Place::Posting { at, bytes } => match self.cached(CachedPart::Posting(number)) {
                    Some(positions) => take(positions.view())?,
                    None => missing.push(Missing { number, held, range: at..at + bytes }),
                },
            }
        }
        // Values of a damaged dictionary may be out of order, and their postings with them.
        missing.sort_unstable_by_key(|missing| missing.range.start);
        let gap_bytes = self.gap_bytes();
        let together = |a: &Missing, b: &Missing| b.range.start.saturating_sub(a.range.end) <= gap_bytes;
        for run in missing.chunk_by(together) {
            let mut rest = run;
            while let Some(first) = rest.first() {
                let start = first.range.start;
                let count = rest.partition_point(|missing| missing.range.end - start <= READ_BYTES).max(1);
                let (now, later) = rest.split_at(count);
                let end = now.last().map_or(start, |last| last.range.end);
                let bytes = self.bytes(start..end)?;
                for Missing { number, held, range } in now {
                    let (from, to) = ((range.start - start) as usize, (range.end - start) as usize); // CAST: usize is 64 bits
                    let posting = self.decode(*number, *held, bytes.get(from..to).unwrap_or_default())?;
                    take(self.keep(CachedPart::Posting(*number), posting).view())?;
                }
                rest = later;
            }
        }
        Ok(())
    }

    /// The values that are not among `values`, which ascend by number, where every position has one at most and these others
    /// have fewer positions and are fewer: what they leave is found with less work.
    pub(super) fn others(&self, values: &[(u32, Held)]) -> Option<Vec<(u32, Held)>> {
        let dictionary = self.dictionary().filter(|_| self.spec.arity() == Some(Arity::One))?;
        let positions: u64 = values.iter().map(|(_, held)| u64::from(held.cardinality)).sum();
        let is_less = 2 * positions > self.pairs() && dictionary.values() as usize <= 2 * values.len();
        if values.len() < 2 || !is_less {
            return None;
        }
        let (mut entries, mut others, mut left) = (dictionary.entries(), Vec::new(), values);
        for number in 0..dictionary.values() {
            let (_, held) = entries.next()?;
            match left.split_first() {
                Some(((next, _), rest)) if *next == number => left = rest,
                _ => others.push((number, held)),
            }
        }
        Some(others)
    }

    /// Positions of value `number`, out of the bytes of [`posting_range`].
    pub(super) fn decode(&self, number: u32, held: Held, piece: &[u8]) -> Result<Positions, OpenError> {
        if let Place::One(position) = held.place {
            return Ok(Positions::Sorted(vec![position]));
        }
        let content = self.checked(Part::Posting, u64::from(number), piece)?;
        let expected =
            Expected { cardinality: u64::from(held.cardinality), positions: u64::from(self.positions) };
        posting::read(content, expected)
            .map_err(|malformed| self.malformed(&format!("posting of value {number}"), malformed))
    }

    fn cached(&self, part: CachedPart) -> Option<SegmentMatches> {
        match self.cache.get(self.key(part)) {
            Some(Piece::Positions(positions)) => Some(positions),
            _ => None,
        }
    }

    fn keep(&self, part: CachedPart, positions: Positions) -> SegmentMatches {
        let positions = positions.into_matches(u64::from(self.positions));
        self.cache.put(self.key(part), Piece::Positions(positions.clone()));
        positions
    }

    pub(super) fn key(&self, part: CachedPart) -> Key {
        Key { segment: self.segment, attribute: self.spec.attribute, part }
    }
}

/// Where the posting of a value is in the body; nothing of a value with one position.
pub(super) fn posting_range(held: Held) -> Range<u64> {
    match held.place {
        Place::One(_) => 0..0,
        Place::Posting { at, bytes } => at..at + bytes,
    }
}

/// A posting that is to be read.
struct Missing {
    number: u32,
    held: Held,
    range: Range<u64>,
}
