//! From a filter bound to the schema of an index to the vectors that match it.
//!
//! Terms become sets of positions, which are drawn together as the filter says, those of fewest positions first. A set may
//! stand for all positions but its own, so that NOT makes none.
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use spandrel_filter::{Bound, Predicate};

use super::dictionary::Held;
use super::positions::Positions;
use super::stored::StoredAttribute;
use super::union::Union;
use crate::format::OpenError;
use crate::matches::Matches;
use crate::segment_matches::{PositionsView, SegmentMatches, words_of};
use crate::{Index, Segment};

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
    positions: Positions,
    is_complement: bool,
}

impl Set {
    fn of(positions: Positions) -> Set {
        Set { positions, is_complement: false }
    }

    fn all() -> Set {
        Set::of(Positions::none()).complement()
    }

    fn complement(self) -> Set {
        Set { is_complement: !self.is_complement, ..self }
    }

    fn is_empty(&self) -> bool {
        !self.is_complement && self.positions.is_empty()
    }

    fn memory_bytes(&self) -> usize {
        self.positions.memory_bytes()
    }

    /// Positions in both, of `positions` in all.
    fn and(self, other: Set, positions: u64) -> Set {
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
        within: Option<PositionsView<'_>>,
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

    /// As [`Compiler::set_of`], while `bytes` are held.
    fn set_beside(
        &mut self,
        bytes: usize,
        segment: &Segment,
        filter: &Bound,
        within: Option<PositionsView<'_>>,
    ) -> Result<Set, CompileError> {
        self.held_bytes += bytes;
        let set = self.set_of(segment, filter, within);
        self.held_bytes -= bytes;
        set
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
        within: Option<PositionsView<'_>>,
    ) -> Result<Set, CompileError> {
        let mut set = Set::all();
        for part in self.ordered(segment, parts)? {
            if set.is_empty() {
                break;
            }
            let narrower = if set.is_complement { within } else { Some(set.positions.view()) };
            let other = self.set_beside(set.memory_bytes(), segment, part, narrower)?;
            set = set.and(other, segment.count);
        }
        Ok(set)
    }

    /// OR. What is outside of a part that is a complement, and of no other, is outside of all.
    fn any(
        &mut self,
        segment: &Segment,
        parts: &[Bound],
        within: Option<PositionsView<'_>>,
    ) -> Result<Set, CompileError> {
        let (mut union, mut outside) = (Union::new(segment.count), None::<Positions>);
        for part in parts {
            let held = union.bytes() + outside.as_ref().map_or(0, Positions::memory_bytes);
            let Set { positions, is_complement } = self.set_beside(held, segment, part, within)?;
            if is_complement {
                outside = Some(match outside {
                    None => positions,
                    Some(outside) => outside.and(positions),
                });
            } else {
                union.add(positions.view());
            }
        }
        let union = union.finish();
        Ok(match outside {
            None => Set::of(union),
            Some(outside) => Set::of(outside.and_not(&union)).complement(),
        })
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
        within: Option<PositionsView<'_>>,
    ) -> Result<Set, CompileError> {
        let held = |value: &String| stored.find(value);
        match predicate {
            Predicate::Null => Ok(Set::of(Positions::Shared(stored.nulls()?))),
            Predicate::Values(values) => {
                let there: Vec<(u32, Held)> = values.iter().filter_map(held).collect();
                match stored.others(&there) {
                    Some(others) => self.others(stored, &others),
                    None => self.union(stored, &there),
                }
            }
            Predicate::AnyTag(tags) => {
                let there: Vec<(u32, Held)> = tags.iter().filter_map(held).collect();
                self.union(stored, &there)
            }
            Predicate::AllTags(tags) => {
                let Some(mut there) = tags.iter().map(held).collect::<Option<Vec<_>>>() else {
                    return Ok(Set::of(Positions::none()));
                };
                there.sort_by_key(|(_, held)| held.cardinality);
                self.intersection(stored, &there)
            }
            Predicate::Ranges(ranges) => {
                let is_few = matches!(within, Some(PositionsView::Sorted(_)));
                self.check_memory(if is_few { 0 } else { 8 * words_of(stored.positions.into()) })?;
                stored.in_ranges(ranges, within, &mut || self.check()).map(Set::of)
            }
        }
    }

    /// Positions of any of some values, which ascend by number.
    fn union(&self, stored: &StoredAttribute, values: &[(u32, Held)]) -> Result<Set, CompileError> {
        if let &[(number, held)] = values {
            return Ok(Set::of(stored.posting(number, held)?));
        }
        let mut union = Union::new(stored.positions.into());
        stored.postings(values, |positions| self.add(&mut union, positions))?;
        Ok(Set::of(union.finish()))
    }

    fn add(&self, union: &mut Union, positions: PositionsView<'_>) -> Result<(), CompileError> {
        self.check()?;
        union.add(positions);
        self.check_memory(union.bytes())
    }

    /// Positions that have a value, but none of some, which ascend by number.
    fn others(&self, stored: &StoredAttribute, values: &[(u32, Held)]) -> Result<Set, CompileError> {
        let mut union = Union::new(stored.positions.into());
        union.add(stored.nulls()?.view());
        stored.postings(values, |positions| self.add(&mut union, positions))?;
        Ok(Set::of(union.finish()).complement())
    }

    /// Positions of all of some values, which ascend by their number of positions.
    fn intersection(&self, stored: &StoredAttribute, values: &[(u32, Held)]) -> Result<Set, CompileError> {
        let mut left: Option<Positions> = None;
        for &(number, held) in values {
            self.check()?;
            let next = stored.posting(number, held)?;
            self.check_memory(next.memory_bytes() + left.as_ref().map_or(0, Positions::memory_bytes))?;
            let both = match left {
                None => next,
                Some(left) => left.and(next),
            };
            if both.is_empty() {
                return Ok(Set::of(Positions::none()));
            }
            left = Some(both);
        }
        Ok(Set::of(left.unwrap_or_else(Positions::none)))
    }

    fn ids(&self, segment: &Segment, ids: &[u64]) -> Result<Set, CompileError> {
        let mut positions = Vec::new();
        segment.id_finder()?.find::<CompileError>(
            ids,
            || self.check(),
            |_, position| {
                positions.extend(position);
                Ok(())
            },
        )?;
        positions.sort_unstable();
        if !positions.is_sorted_by(|a, b| a < b) {
            let found = "two ids of one position";
            return Err(OpenError::field(&segment.ids.path, "positions of ids", found, "one id each").into());
        }
        Ok(Set::of(Positions::Sorted(positions)))
    }

    /// What is left in the end, of `positions` in all.
    fn matches(&self, set: Set, positions: u64) -> Result<SegmentMatches, CompileError> {
        let Set { positions: found, is_complement } = set;
        if is_complement {
            self.check_memory(found.memory_bytes() + 8 * words_of(positions))?;
            return Ok(found.into_others(positions));
        }
        Ok(found.into_matches(positions))
    }
}
