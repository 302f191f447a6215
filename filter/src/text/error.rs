//! What is wrong with a filter in text, and where.
use std::fmt;

use crate::limits::{FILTER_BYTES_MAX, NESTING_MAX, TERMS_MAX, VALUES_MAX};

/// Characters of the text that a message shows on each side of the place.
const SHOWN: usize = 50;

/// A text that is no filter. Shows the place with a mark below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseError {
    /// The byte at which it goes wrong.
    pub offset: usize,
    /// What the parser could not take.
    pub problem: Problem,
    /// The text around the place, in one line.
    around: String,
    /// Characters of it before the place.
    before: usize,
}

/// What is wrong with a filter in text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// Something else was expected.
    #[error("expected {expected}, found {found}")]
    Expected {
        /// What could stand here.
        expected: &'static str,
        /// What stands in its place.
        found: String,
    },
    /// A text does not end.
    #[error("the text that begins with {0} does not end")]
    Unterminated(char),
    /// A backslash is followed by something else than it escapes.
    #[error(r#"a backslash stands before " ' ` \ n r t or u{{hexadecimal digits}} in quotes"#)]
    Escape,
    /// A number is not written as JSON writes numbers, or is too large for any type.
    #[error("this is no number such as 12, -0.5 or 1e6")]
    Number,
    /// A character that nothing begins with.
    #[error("unexpected character {0:?}")]
    Character(char),
    /// An id is no whole number in range.
    #[error("an id is a whole number from 0 to 18446744073709551614")]
    Id,
    /// The text is too long.
    #[error("the filter has {0} bytes, expected at most {FILTER_BYTES_MAX}")]
    Bytes(usize),
    /// Brackets and NOTs are too deep.
    #[error("the filter nests deeper than {NESTING_MAX} levels")]
    Nesting,
    /// There are too many comparisons.
    #[error("the filter has more than {TERMS_MAX} comparisons; `in` and `contains any` take lists")]
    Terms,
    /// There are too many values in lists.
    #[error("the lists of the filter hold more than {VALUES_MAX} values")]
    Values,
}

impl ParseError {
    pub(super) fn new(text: &str, offset: usize, problem: Problem) -> ParseError {
        let (before, after) = text.split_at_checked(offset).unwrap_or((text, ""));
        let skipped = before.chars().count().saturating_sub(SHOWN);
        let shown = before.chars().skip(skipped).chain(after.chars().take(SHOWN));
        // The mark stands right only below characters of one column.
        let around = shown.map(|c| if c.is_control() || c.is_whitespace() { ' ' } else { c }).collect();
        ParseError { offset, problem, around, before: before.chars().count() - skipped }
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ParseError { offset, problem, around, before } = self;
        write!(f, "at byte {offset} of the filter: {problem}\n  {}\n  {:before$}^", around.trim_end(), "")
    }
}

impl std::error::Error for ParseError {}
