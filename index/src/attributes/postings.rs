//! Reading postings: from the cache, from memory, or from SSD.
use std::ops::Range;
use std::sync::Arc;

use roaring::RoaringBitmap;

use super::cache::Key;
use super::dictionary::{Held, Place};
use super::posting::{self, Expected};
use super::seal::Part;
use super::stored::{READ_BYTES, StoredAttribute};
use crate::format::OpenError;

impl StoredAttribute {
    /// Positions without a value.
    ///
    /// # Errors
    /// [`OpenError`] when they cannot be read or are damaged.
    pub fn nulls(&self) -> Result<Arc<RoaringBitmap>, OpenError> {
        if let Some(nulls) = self.kept_nulls() {
            return Ok(nulls);
        }
        self.keep_nulls(&self.piece(Part::Nulls, 0, self.foot.nulls_at..self.foot.places_at)?)
    }

    /// Positions without a value, if they were read before and kept.
    pub(super) fn kept_nulls(&self) -> Option<Arc<RoaringBitmap>> {
        self.cache.get(self.key(None))
    }

    /// Positions without a value, out of their bytes, whose sum held.
    pub(super) fn keep_nulls(&self, bytes: &[u8]) -> Result<Arc<RoaringBitmap>, OpenError> {
        let expected = Expected { cardinality: self.foot.nulls, positions: u64::from(self.positions) };
        let nulls = posting::read(bytes, expected).map_err(|malformed| self.malformed("nulls", malformed))?;
        let nulls = Arc::new(nulls);
        self.cache.put(self.key(None), &nulls);
        Ok(nulls)
    }

    /// Positions of value `number`, whose entry is `held`.
    pub(super) fn posting(&self, number: u32, held: Held) -> Result<Arc<RoaringBitmap>, OpenError> {
        let key = self.key(Some(number));
        if let Some(positions) = self.cache.get(key) {
            return Ok(positions);
        }
        let posting = Arc::new(self.read_posting(number, held)?);
        if matches!(held.place, Place::Posting { .. }) {
            self.cache.put(key, &posting);
        }
        Ok(posting)
    }

    fn read_posting(&self, number: u32, held: Held) -> Result<RoaringBitmap, OpenError> {
        self.decode(number, held, &self.bytes(posting_range(held))?)
    }

    /// Hands the positions of several values, by ascending number, to `take`. Those that are not in the cache and lie
    /// close together are read together.
    pub(super) fn postings<E: From<OpenError>>(
        &self,
        values: &[(u32, Held)],
        mut take: impl FnMut(Arc<RoaringBitmap>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut missing = Vec::new();
        for &(number, held) in values {
            match held.place {
                Place::One(position) => take(Arc::new(RoaringBitmap::from_iter([position])))?,
                Place::Posting { at, bytes } => match self.cache.get(self.key(Some(number))) {
                    Some(positions) => take(positions)?,
                    None => missing.push(Missing { number, held, range: at..at + bytes }),
                },
            }
        }
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
                    let (from, to) = ((range.start - start) as usize, (range.end - start) as usize); // CAST: read
                    let posting = self.decode(*number, *held, bytes.get(from..to).unwrap_or_default())?;
                    let posting = Arc::new(posting);
                    self.cache.put(self.key(Some(*number)), &posting);
                    take(posting)?;
                }
                rest = later;
            }
        }
        Ok(())
    }

    /// Positions of value `number`, out of the bytes of [`posting_range`].
    pub(super) fn decode(&self, number: u32, held: Held, piece: &[u8]) -> Result<RoaringBitmap, OpenError> {
        if let Place::One(position) = held.place {
            return Ok(RoaringBitmap::from_iter([position]));
        }
        let content = self.checked(Part::Posting, u64::from(number), piece)?;
        let expected =
            Expected { cardinality: u64::from(held.cardinality), positions: u64::from(self.positions) };
        posting::read(content, expected)
            .map_err(|malformed| self.malformed(&format!("posting of value {number}"), malformed))
    }

    fn key(&self, value: Option<u32>) -> Key {
        Key { segment: self.segment, attribute: self.spec.attribute, value }
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
