//! The parts of a filter, and how many vectors match each.
use spandrel_filter::{BindError, Filter};

use super::compile::{CompileError, CompileLimits, compile};
use crate::Index;

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

/// The parts of a filter, each before its own parts: the whole first. Those after the first 100 are left out. Each is
/// compiled by itself, one after the other, within `limits`.
///
/// # Errors
/// [`PartsError`].
pub fn parts(
    index: &Index,
    filter: &Filter,
    limits: CompileLimits<'_>,
) -> Result<Vec<FilterPart>, PartsError> {
    let mut parts = Vec::new();
    add(index, (filter, 0), limits, &mut parts)?;
    Ok(parts)
}

fn add(
    index: &Index,
    (filter, depth): (&Filter, usize),
    limits: CompileLimits<'_>,
    parts: &mut Vec<FilterPart>,
) -> Result<(), PartsError> {
    if parts.len() == PARTS_MAX {
        return Ok(());
    }
    let matches = compile(index, &filter.bind(index.schema())?, limits)?.count();
    let (text, inner): (String, &[Filter]) = match filter {
        Filter::And(inner) => ("and".to_owned(), inner),
        Filter::Or(inner) => ("or".to_owned(), inner),
        // Written as one condition.
        Filter::Not(inner) if matches!(**inner, Filter::IsNull { .. }) => {
            (shortened(filter.to_string()), &[])
        }
        Filter::Not(inner) => ("not".to_owned(), std::slice::from_ref(&**inner)),
        condition => (shortened(condition.to_string()), &[]),
    };
    parts.push(FilterPart { depth, text, matches });
    inner.iter().try_for_each(|filter| add(index, (filter, depth + 1), limits, parts))
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
