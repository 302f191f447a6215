//! The parts of a filter, and how many vectors match each.
use spandrel_filter::{BindError, Filter};

use super::compile::Compiler;
use super::limits::{CompileError, CompileLimits};
use super::set::Set;
use crate::{Index, Segment};

/// Parts of a filter that are told of.
const PARTS_MAX: usize = 100;
/// Bytes of a condition that are shown.
const SHOWN: usize = 100;

/// A part of a filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilterPart {
    /// Parts that it is a part of.
    pub depth: usize,
    /// `and`, `or`, `not`, or a condition; of a long one the beginning.
    pub text: String,
    /// Vectors that match it.
    pub matches: u64,
}

/// Why the parts of a filter are not known.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PartsError {
    /// It is no filter of the index's attributes.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// A part cannot be compiled.
    #[error(transparent)]
    Compile(#[from] CompileError),
}

/// The parts of a filter, each before its own parts: the whole first. Those after the first 100 are left out. Each condition is
/// compiled once, within `limits`, and what it matches counts for all parts around it.
///
/// # Errors
/// [`PartsError`].
pub fn parts(
    index: &Index,
    filter: &Filter,
    limits: CompileLimits<'_>,
) -> Result<Vec<FilterPart>, PartsError> {
    let mut parts = Vec::new();
    list(filter, 0, &mut parts);
    let mut compiler = Compiler::new(index, limits);
    for segment in index.segments() {
        let counter = &mut Counter { index, segment, parts: &mut parts, next: 0 };
        counter.count(filter, &mut compiler)?;
    }
    Ok(parts)
}

/// The parts of a filter without what matches them.
fn list(filter: &Filter, depth: usize, parts: &mut Vec<FilterPart>) {
    if parts.len() == PARTS_MAX {
        return;
    }
    let text = match filter {
        Filter::And(_) => "and".to_owned(),
        Filter::Or(_) => "or".to_owned(),
        Filter::Not(_) if !inner(filter).is_empty() => "not".to_owned(),
        condition => shortened(condition.to_string()),
    };
    parts.push(FilterPart { depth, text, matches: 0 });
    inner(filter).iter().for_each(|part| list(part, depth + 1, parts));
}

/// The parts of a part; none of a condition.
fn inner(filter: &Filter) -> &[Filter] {
    match filter {
        Filter::And(parts) | Filter::Or(parts) => parts,
        // Written as one condition.
        Filter::Not(part) if matches!(**part, Filter::IsNull { .. }) => &[],
        Filter::Not(part) => std::slice::from_ref(&**part),
        _ => &[],
    }
}

/// Counts what matches the parts in one segment.
struct Counter<'a> {
    index: &'a Index,
    segment: &'a Segment,
    parts: &'a mut [FilterPart],
    /// Number of the next part.
    next: usize,
}

impl Counter<'_> {
    /// What matches the next part, which is `filter`.
    fn count(&mut self, filter: &Filter, compiler: &mut Compiler<'_>) -> Result<Set, PartsError> {
        let number = self.next;
        self.next += 1;
        let positions = self.segment.items();
        let mut left = inner(filter);
        let mut set: Option<Set> = None;
        while let [part, rest @ ..] = left
            && self.next < self.parts.len()
        {
            let held = set.as_ref().map_or(0, Set::memory_bytes);
            let other = compiler.beside(held, |compiler| self.count(part, compiler))?;
            set = Some(match set {
                None => other,
                Some(set) if matches!(filter, Filter::Or(_)) => set.or(other, positions),
                Some(set) => set.and(other, positions),
            });
            left = rest;
        }
        // The parts that are left out, at once.
        let set = match (set, filter) {
            (None, _) => self.whole(filter, compiler)?,
            (Some(set), Filter::Not(_)) => set.complement(),
            (Some(set), _) if left.is_empty() => set,
            (Some(set), Filter::Or(_)) => {
                let rest = compiler.beside(set.memory_bytes(), |compiler| {
                    self.whole(&Filter::Or(left.to_vec()), compiler)
                })?;
                set.or(rest, positions)
            }
            (Some(set), _) => {
                let rest = compiler.beside(set.memory_bytes(), |compiler| {
                    self.whole(&Filter::And(left.to_vec()), compiler)
                })?;
                set.and(rest, positions)
            }
        };
        if let Some(part) = self.parts.get_mut(number) {
            part.matches += set.count(positions);
        }
        Ok(set)
    }

    fn whole(&self, filter: &Filter, compiler: &mut Compiler<'_>) -> Result<Set, PartsError> {
        let bound = filter.bind(self.index.schema())?;
        Ok(compiler.set_of(self.segment, &bound)?)
    }
}

fn shortened(mut text: String) -> String {
    if text.len() > SHOWN {
        let is_boundary = |at: &usize| text.is_char_boundary(*at);
        text.truncate((0..=SHOWN).rev().find(is_boundary).unwrap_or_default());
        text += " ...";
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_conditions_are_cut_between_characters() {
        assert_eq!(shortened("price < 3".to_owned()), "price < 3");
        let long = format!("{}ü", "a".repeat(SHOWN - 1));
        assert_eq!(shortened(long), "a".repeat(SHOWN - 1) + " ...");
    }
}
