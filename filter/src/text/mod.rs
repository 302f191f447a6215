//! Filters in text: `price < 1500 and tags contains "red"`.
mod display;
mod error;
mod parse;
mod token;

use crate::expression::Filter;
pub use error::{ParseError, Problem};

impl Filter {
    /// Reads a filter in text. Words of the language may have any case. Text stands in double or single quotes, with
    /// backslashes before quotes, backslashes, `n`, `r`, `t` and `u{HEX}`. A name of anything but letters, digits, `_` and
    /// `.`, or of a word of the language, stands in backticks or double quotes. `id` is the id of the row.
    ///
    /// # Errors
    /// Text that is no filter, too long or too deep, with the place where it goes wrong.
    pub fn parse(text: &str) -> Result<Filter, ParseError> {
        parse::parse(text)
    }
}

#[cfg(test)]
mod tests;
