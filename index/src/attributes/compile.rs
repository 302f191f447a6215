//! From a filter bound to the schema of an index to the vectors that match it.
//!
//! Terms become sets of positions, which are drawn together as the filter says, those of fewest positions first. A set may
//! stand for all positions but its own, so that NOT makes none.
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use roaring::RoaringBitmap;
use spandrel_filter::{Bound, Predicate};

use super::dictionary::Held;
use super::stored::StoredAttribute;
use crate::format::OpenError;
use crate::matches::{Matches, SegmentMatches, words_with};
use crate::{IdFinder, Index, Segment};

/// Positions to a word of bits above which a set is flipped range by range. Below, its containers are arrays, and finding the end
/// of a range in these takes a bisection.
const DENSE: u64 = 4;

/// What compiling a filter may take.
#[derive(Debug, Clone, Copy)]
pub struct CompileLimits<'a> {
    /// Bytes of sets of positions, what they come to included.
    pub memory_bytes: usize,
    /// When to give up.
    pub deadline: Option<Instant>,
    /// Set to true to stop.
    pub stop: &'a AtomicBool,
}

/// Why a filter was not compiled.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CompileError {
    /// The filter is bound to another schema than that of the index.
    #[error(
        "the filter asks for attribute number {attribute} and the index has {attributes}; bind it to the index's schema"
    )]
    Schema {
        /// The attribute's number.
        attribute: usize,
        /// Attributes of the index.
        attributes: usize,
    },
    /// Its sets of positions take too much memory.
    #[error("the filter needs {needed} bytes of memory and may use {allowed}; ask for less, or allow more")]
    Memory {
        /// Bytes it would take.
        needed: usize,
        /// Bytes it may take.
        allowed: usize,
    },
    /// There was no time left.
    #[error("the filter was not compiled before the deadline")]
    Deadline,
    /// A stop was asked for.
    #[error("compiling the filter was stopped")]
    Stopped,
    /// An attribute could not be read, or is damaged.
    #[error(transparent)]
    Open(#[from] OpenError),
}

/// The vectors of an index that match a filter.
///
/// # Errors
/// [`CompileError`].
pub fn compile(index: &Index, filter: &Bound, limits: CompileLimits<'_>) -> Result<Matches, CompileError> {
    let mut compiler = Compiler { limits, attributes: index.schema().attributes().len(), held_bytes: 0 };
    let mut segments = Vec::with_capacity(index.segments().len());
    for segment in index.segments() {
        let set = compiler.set_of(segment, filter, None)?;
        let matches = compiler.matches(set, segment.count)?;
        compiler.held_bytes += matches.memory_bytes();
        segments.push(matches);
    }
    Ok(Matches::new(segments))
}

/// Some positions of a segment, or all but these.
#[derive(Debug, Clone)]
struct Set {
    positions: Arc<RoaringBitmap>,
    is_complement: bool,
}

impl Set {
    fn of(positions: RoaringBitmap) -> Set {
        Set { positions: Arc::new(positions), is_complement: false }
    }

    fn complement(self) -> Set {
        Set { is_complement: !self.is_complement, ..self }
    }

    fn is_empty(&self) -> bool {
        !self.is_complement && self.positions.is_empty()
    }

    fn memory_bytes(&self) -> usize {
        self.positions.serialized_size()
    }

    /// Positions in both.
    fn and(self, other: Set) -> Set {
        match (self.is_complement, other.is_complement) {
            (false, false) => Set::of(&*self.positions & &*other.positions),
            (false, true) => Set::of(owned(self.positions) - &*other.positions),
            (true, false) => Set::of(owned(other.positions) - &*self.positions),
            (true, true) => Set::of(owned(self.positions) | &*other.positions).complement(),
        }
    }

    /// Positions in either.
    fn or(self, other: Set) -> Set {
        match (self.is_complement, other.is_complement) {
            (false, false) => Set::of(owned(self.positions) | &*other.positions),
            _ => self.complement().and(other.complement()).complement(),
        }
    }
}

fn owned(positions: Arc<RoaringBitmap>) -> RoaringBitmap {
    Arc::try_unwrap(positions).unwrap_or_else(|shared| (*shared).clone())
}

struct Compiler<'a> {
    limits: CompileLimits<'a>,
    attributes: usize,
    /// Bytes of sets that are kept while others are made.
    held_bytes: usize,
}

impl Compiler<'_> {
    /// Gives up where that is wanted.
    fn check(&self) -> Result<(), CompileError> {
        if self.limits.stop.load(Ordering::Relaxed) {
            return Err(CompileError::Stopped);
        }
        match self.limits.deadline {
            Some(deadline) if Instant::now() >= deadline => Err(CompileError::Deadline),
            _ => Ok(()),
        }
    }

    /// Refuses to hold `bytes` more than is held.
    fn check_memory(&self, bytes: usize) -> Result<(), CompileError> {
        let (needed, allowed) = (self.held_bytes + bytes, self.limits.memory_bytes);
        if needed > allowed { Err(CompileError::Memory { needed, allowed }) } else { Ok(()) }
    }

    /// The positions of a segment that match; of those that are not in `within`, it does not matter which.
    fn set_of(
        &mut self,
        segment: &Segment,
        filter: &Bound,
        within: Option<&RoaringBitmap>,
    ) -> Result<Set, CompileError> {
        self.check()?;
        let set = match filter {
            Bound::Attribute { attribute, predicate } => {
                let stored = self.attribute(segment, *attribute)?;
                self.predicate(stored, predicate, within)?
            }
            Bound::Ids(ids) => self.ids(segment, ids)?,
            Bound::Not(inner) => self.set_of(segment, inner, within)?.complement(),
            Bound::And(parts) => self.all(segment, parts, within)?,
            Bound::Or(parts) => self.any(segment, parts, within)?,
        };
        self.check_memory(set.memory_bytes())?;
        Ok(set)
    }

    fn attribute<'s>(
        &self,
        segment: &'s Segment,
        attribute: usize,
    ) -> Result<&'s StoredAttribute, CompileError> {
        let attributes = self.attributes;
        segment.attribute(attribute).ok_or(CompileError::Schema { attribute, attributes })
    }

    /// AND, of few positions first: what is left when there are none need not be read, and ranges are looked up only where
    /// there still are some.
    fn all(
        &mut self,
        segment: &Segment,
        parts: &[Bound],
        within: Option<&RoaringBitmap>,
    ) -> Result<Set, CompileError> {
        let mut set = Set::of(RoaringBitmap::new()).complement();
        for part in self.ordered(segment, parts)? {
            if set.is_empty() {
                break;
            }
            let bytes = set.memory_bytes();
            self.held_bytes += bytes;
            let narrower = if set.is_complement { within } else { Some(&*set.positions) };
            let other = self.set_of(segment, part, narrower)?;
            self.held_bytes -= bytes;
            set = set.and(other);
        }
        Ok(set)
    }

    fn any(
        &mut self,
        segment: &Segment,
        parts: &[Bound],
        within: Option<&RoaringBitmap>,
    ) -> Result<Set, CompileError> {
        let mut set = Set::of(RoaringBitmap::new());
        for part in parts {
            let bytes = set.memory_bytes();
            self.held_bytes += bytes;
            let other = self.set_of(segment, part, within)?;
            self.held_bytes -= bytes;
            set = set.or(other);
            self.check_memory(set.memory_bytes())?;
        }
        Ok(set)
    }

    /// Parts of an AND by how many positions they may leave, ranges of numbers after all others.
    fn ordered<'b>(&self, segment: &Segment, parts: &'b [Bound]) -> Result<Vec<&'b Bound>, CompileError> {
        let mut keyed = Vec::with_capacity(parts.len());
        for part in parts {
            let has_ranges = matches!(part, Bound::Attribute { predicate: Predicate::Ranges(_), .. });
            keyed.push((has_ranges, self.count_at_most(segment, part)?, part));
        }
        keyed.sort_by_key(|&(has_ranges, count, _)| (has_ranges, count));
        Ok(keyed.into_iter().map(|(_, _, part)| part).collect())
    }

    /// The number of positions that match, or more: nothing is read for it.
    fn count_at_most(&self, segment: &Segment, filter: &Bound) -> Result<u64, CompileError> {
        let counts = |parts: &[Bound]| {
            parts.iter().map(|part| self.count_at_most(segment, part)).collect::<Result<Vec<u64>, _>>()
        };
        Ok(match filter {
            Bound::Attribute { attribute, predicate } => {
                let stored = self.attribute(segment, *attribute)?;
                let of = |value: &String| u64::from(stored.cardinality(value));
                match predicate {
                    Predicate::Null => stored.null_count(),
                    Predicate::Ranges(_) => segment.count - stored.null_count(),
                    Predicate::Values(values) | Predicate::AnyTag(values) => values.iter().map(of).sum(),
                    Predicate::AllTags(tags) => tags.iter().map(of).min().unwrap_or(0),
                }
            }
            Bound::Ids(ids) => ids.len() as u64,
            Bound::Not(_) => segment.count,
            Bound::And(parts) => counts(parts)?.into_iter().min().unwrap_or(segment.count),
            Bound::Or(parts) => counts(parts)?.into_iter().sum(),
        })
    }

    fn predicate(
        &self,
        stored: &StoredAttribute,
        predicate: &Predicate,
        within: Option<&RoaringBitmap>,
    ) -> Result<Set, CompileError> {
        let held = |value: &String| stored.find(value);
        match predicate {
            Predicate::Null => Ok(Set { positions: stored.nulls()?, is_complement: false }),
            Predicate::Values(values) | Predicate::AnyTag(values) => {
                let there: Vec<(u32, Held)> = values.iter().filter_map(held).collect();
                self.union(stored, &there)
            }
            Predicate::AllTags(tags) => {
                let Some(mut there) = tags.iter().map(held).collect::<Option<Vec<_>>>() else {
                    return Ok(Set::of(RoaringBitmap::new()));
                };
                there.sort_by_key(|(_, held)| held.cardinality);
                self.intersection(stored, &there)
            }
            Predicate::Ranges(ranges) => stored.in_ranges(ranges, within, &mut || self.check()).map(Set::of),
        }
    }

    /// Positions of any of some values, which ascend by number.
    fn union(&self, stored: &StoredAttribute, values: &[(u32, Held)]) -> Result<Set, CompileError> {
        if let &[(number, held)] = values {
            return Ok(Set { positions: stored.posting(number, held)?, is_complement: false });
        }
        let mut union = RoaringBitmap::new();
        stored.postings(values, |positions| {
            self.check()?;
            union |= &*positions;
            self.check_memory(union.serialized_size())
        })?;
        Ok(Set::of(union))
    }

    /// Positions of all of some values, which ascend by their number of positions.
    fn intersection(&self, stored: &StoredAttribute, values: &[(u32, Held)]) -> Result<Set, CompileError> {
        let mut left: Option<Set> = None;
        for &(number, held) in values {
            self.check()?;
            let next = Set { positions: stored.posting(number, held)?, is_complement: false };
            self.check_memory(next.memory_bytes() + left.as_ref().map_or(0, Set::memory_bytes))?;
            let both = match left {
                None => next,
                Some(left) => left.and(next),
            };
            if both.is_empty() {
                return Ok(both);
            }
            left = Some(both);
        }
        Ok(left.unwrap_or_else(|| Set::of(RoaringBitmap::new())))
    }

    fn ids(&self, segment: &Segment, ids: &[u64]) -> Result<Set, CompileError> {
        let finder = IdFinder::open(Arc::clone(&segment.ids.blob), segment.ids.layout, segment.count)?;
        let mut positions = Vec::new();
        finder.find::<CompileError>(
            ids,
            || self.check(),
            |_, position| {
                positions.extend(position);
                Ok(())
            },
        )?;
        Ok(Set::of(positions.into_iter().collect()))
    }

    /// What is left in the end, of `positions` in all.
    fn matches(&self, set: Set, positions: u64) -> Result<SegmentMatches, CompileError> {
        let words = positions.div_ceil(64) as usize; // CAST: positions are u32
        self.check_memory(set.memory_bytes() + 8 * words)?;
        let Set { positions: found, is_complement } = set;
        if !is_complement && found.len() < positions / 64 {
            return Ok(SegmentMatches::from_sorted(found.iter().collect(), positions));
        }
        let mut bits = vec![if is_complement { u64::MAX } else { 0 }; words];
        if let Some(last) = bits.last_mut().filter(|_| !positions.is_multiple_of(64)) {
            *last &= (1 << (positions % 64)) - 1;
        }
        flip(&found, &mut bits);
        Ok(SegmentMatches::from_words(bits, positions))
    }
}

/// Flips the bit of each of some positions: dense ones range by range, since most of their neighbours are among them.
fn flip(positions: &RoaringBitmap, bits: &mut [u64]) {
    let is_dense = positions.len() > DENSE * bits.len() as u64; // CAST: widening
    let mut flip_range = |range: Range<u32>| {
        words_with(range, |at, mask| {
            if let Some(word) = bits.get_mut(at) {
                *word ^= mask;
            }
        });
    };
    if is_dense {
        let mut left = positions.iter();
        while let Some(range) = left.next_range() {
            flip_range(*range.start()..*range.end() + 1);
        }
    } else {
        positions.iter().for_each(|position| flip_range(position..position + 1));
    }
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    #[test]
    fn bits_are_those_of_the_positions_at_any_density() {
        // Three containers of a bitmap, the last of them cut.
        const POSITIONS: u32 = 150_000;
        let mut rng = ChaCha8Rng::seed_from_u64(4);
        for share in [0.0, 0.001, 0.05, 0.5, 0.9, 0.999, 1.0] {
            let mut positions: RoaringBitmap = (0..POSITIONS).filter(|_| rng.random_bool(share)).collect();
            // The later runs cross from one container into the next.
            for runs in [0..1, 65_000..66_000, 0..140_000] {
                positions.insert_range(runs);
                let mut bits = vec![0; POSITIONS.div_ceil(64) as usize];
                flip(&positions, &mut bits);
                let found = SegmentMatches::from_words(bits.clone(), POSITIONS.into());
                assert!(found.within(0..POSITIONS).eq(&positions), "{share}");
                flip(&positions, &mut bits);
                assert!(bits.iter().all(|&word| word == 0), "{share}");
            }
        }
    }
}
