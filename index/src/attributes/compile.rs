//! From a filter bound to the schema of an index to the vectors that match it.
//!
//! Terms become sets of positions, which are drawn together as the filter says, those of fewest positions first. A set may
//! stand for all positions but its own, so that NOT makes none.
use std::sync::atomic::Ordering;
use std::time::Instant;

use spandrel_filter::{Bound, Predicate};

use super::counted::Counted;
use super::dictionary::Held;
use super::limits::{CompileError, CompileLimits};
use super::positions::Positions;
use super::set::Set;
use super::stored::StoredAttribute;
use super::union::Union;
use crate::format::OpenError;
use crate::matches::Matches;
use crate::open::Documents;
use crate::segment_matches::{PositionsView, SegmentMatches, words_of};
use crate::{Index, Segment};

const WORD: u32 = u64::BITS;
/// Positions whose documents are looked up between two looks at whether to stop; whole words.
const PIECE_POSITIONS: usize = 1 << 20;

/// The vectors of an index that match a filter, or its documents where it has some.
///
/// # Errors
/// [`CompileError`].
pub fn compile(index: &Index, filter: &Bound, limits: CompileLimits<'_>) -> Result<Matches, CompileError> {
    let mut compiler = Compiler::new(index, limits);
    let mut segments = Vec::with_capacity(index.segments().len());
    for segment in index.segments() {
        let set = compiler.set_of(segment, filter)?;
        let matches = compiler.matches(set, segment.items())?;
        compiler.held_bytes += matches.memory_bytes();
        segments.push(matches);
    }
    let matches = Matches::new(segments);
    match (index.documents(), matches.segments()) {
        (Some(documents), [of_documents]) => {
            let tokens = compiler.tokens(documents, of_documents)?;
            Ok(matches.with_tokens(tokens))
        }
        _ => Ok(matches),
    }
}

/// Compiles filters for the segments of an index.
pub(super) struct Compiler<'a> {
    limits: CompileLimits<'a>,
    attributes: usize,
    /// Bytes of sets that are kept while others are made.
    held_bytes: usize,
}

impl<'a> Compiler<'a> {
    pub(super) fn new(index: &Index, limits: CompileLimits<'a>) -> Compiler<'a> {
        Compiler { limits, attributes: index.schema().attributes().len(), held_bytes: 0 }
    }

    /// The positions of a segment that match.
    pub(super) fn set_of(&mut self, segment: &Segment, filter: &Bound) -> Result<Set, CompileError> {
        self.set_within(segment, &Counted::of(segment, filter)?, None)
    }

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
    fn set_within(
        &mut self,
        segment: &Segment,
        part: &Counted<'_>,
        within: Option<PositionsView<'_>>,
    ) -> Result<Set, CompileError> {
        self.check()?;
        let set = match part.filter {
            Bound::Attribute { attribute, predicate } => {
                let stored = self.attribute(segment, *attribute)?;
                self.predicate(stored, predicate, within)?
            }
            Bound::Ids(ids) => self.ids(segment, ids)?,
            Bound::Not(_) => {
                let [inner] = &part.parts[..] else { unreachable!("a NOT is of one part") };
                self.set_within(segment, inner, within)?.complement()
            }
            Bound::And(_) => self.all(segment, part, within)?,
            Bound::Or(_) => self.any(segment, part, within)?,
        };
        self.check_memory(set.memory_bytes())?;
        Ok(set)
    }

    /// What `make` makes while `bytes` are held.
    pub(super) fn beside<T>(&mut self, bytes: usize, make: impl FnOnce(&mut Self) -> T) -> T {
        self.held_bytes += bytes;
        let made = make(self);
        self.held_bytes -= bytes;
        made
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
        whole: &Counted<'_>,
        within: Option<PositionsView<'_>>,
    ) -> Result<Set, CompileError> {
        let mut set = Set::all();
        for part in whole.ordered() {
            if set.is_empty() {
                break;
            }
            let narrower = if set.is_complement { within } else { Some(set.positions.view()) };
            let other =
                self.beside(set.memory_bytes(), |compiler| compiler.set_within(segment, part, narrower))?;
            set = set.and(other, segment.items());
        }
        Ok(set)
    }

    /// OR. What is outside of a part that is a complement, and of no other, is outside of all.
    fn any(
        &mut self,
        segment: &Segment,
        whole: &Counted<'_>,
        within: Option<PositionsView<'_>>,
    ) -> Result<Set, CompileError> {
        let (mut union, mut outside) = (Union::new(segment.items()), None::<Positions>);
        for part in &whole.parts {
            let held = union.bytes() + outside.as_ref().map_or(0, Positions::memory_bytes);
            let set = self.beside(held, |compiler| compiler.set_within(segment, part, within));
            let Set { positions, is_complement } = set?;
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
        if let Some(documents) = segment.documents() {
            positions.extend(ids.iter().filter_map(|&id| documents.find(id)));
            positions.sort_unstable();
            return Ok(Set::of(Positions::Sorted(positions)));
        }
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

    /// The positions of the tokens of documents that match.
    fn tokens(
        &self,
        documents: &Documents,
        matches: &SegmentMatches,
    ) -> Result<SegmentMatches, CompileError> {
        let of_positions = documents.of_positions();
        let positions = of_positions.len() as u64; // CAST: widening
        self.check_memory(8 * (words_of(positions) + words_of(matches.positions())))?;
        // A bit for each document, also where few match.
        let mut bits = vec![0_u64; words_of(matches.positions())];
        for document in matches.within(0..u32::MAX) {
            if let Some(word) = bits.get_mut((document / WORD) as usize) {
                *word |= 1 << (document % WORD);
            }
        }
        let bit = |document: u32| {
            bits.get((document / WORD) as usize).map_or(0, |word| word >> (document % WORD) & 1)
        };
        let mut words = Vec::with_capacity(words_of(positions));
        for piece in of_positions.chunks(PIECE_POSITIONS) {
            self.check()?;
            let of_word = |of: &[u32]| of.iter().rev().fold(0, |word, &document| word << 1 | bit(document));
            words.extend(piece.chunks(WORD as usize).map(of_word));
        }
        Ok(SegmentMatches::from_words(words, positions))
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
