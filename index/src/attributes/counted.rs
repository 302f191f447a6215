//! How many positions each part of a filter may match, for the order in which those of an AND are compiled.
use spandrel_filter::{Bound, Predicate};

use super::limits::CompileError;
use crate::Segment;

/// A part of a filter, and how many positions of a segment match it, or more.
pub(super) struct Counted<'a> {
    pub(super) filter: &'a Bound,
    pub(super) parts: Vec<Counted<'a>>,
    /// 0 where no AND is around it: its place in an order is not asked for.
    pub(super) count: u64,
}

impl<'a> Counted<'a> {
    /// Counts each part once, from what dictionaries say: nothing is read.
    ///
    /// # Errors
    /// [`CompileError::Schema`].
    pub(super) fn of(segment: &Segment, filter: &'a Bound) -> Result<Counted<'a>, CompileError> {
        Counted::of_part(segment, filter, false)
    }

    fn of_part(segment: &Segment, filter: &'a Bound, is_ordered: bool) -> Result<Counted<'a>, CompileError> {
        let is_and = matches!(filter, Bound::And(_));
        let inner = match filter {
            Bound::And(parts) | Bound::Or(parts) => &parts[..],
            Bound::Not(inner) => std::slice::from_ref(&**inner),
            Bound::Attribute { .. } | Bound::Ids(_) => &[],
        };
        let parts = inner.iter().map(|part| Counted::of_part(segment, part, is_ordered || is_and));
        let parts = parts.collect::<Result<Vec<Counted<'_>>, CompileError>>()?;
        let counts = parts.iter().map(|part| part.count);
        let count = match filter {
            _ if !is_ordered => 0,
            Bound::Attribute { attribute, predicate } => of_predicate(segment, *attribute, predicate)?,
            Bound::Ids(ids) => ids.len() as u64, // CAST: widening
            Bound::Not(_) => segment.items(),
            Bound::And(_) => counts.min().unwrap_or(segment.items()),
            Bound::Or(_) => counts.sum(),
        };
        Ok(Counted { filter, parts, count })
    }

    /// The parts by how many positions they may leave, ranges of numbers after all others.
    pub(super) fn ordered(&self) -> Vec<&Counted<'a>> {
        let mut parts: Vec<&Counted<'a>> = self.parts.iter().collect();
        let has_ranges =
            |filter: &Bound| matches!(filter, Bound::Attribute { predicate: Predicate::Ranges(_), .. });
        parts.sort_by_key(|part| (has_ranges(part.filter), part.count));
        parts
    }
}

fn of_predicate(segment: &Segment, attribute: usize, predicate: &Predicate) -> Result<u64, CompileError> {
    let attributes = segment.attributes().len();
    let stored = segment.attribute(attribute).ok_or(CompileError::Schema { attribute, attributes })?;
    let of = |value: &String| u64::from(stored.cardinality(value));
    Ok(match predicate {
        Predicate::Null => stored.null_count(),
        Predicate::Ranges(_) => segment.items() - stored.null_count(),
        Predicate::Values(values) | Predicate::AnyTag(values) => values.iter().map(of).sum(),
        Predicate::AllTags(tags) => tags.iter().map(of).min().unwrap_or(0),
    })
}
