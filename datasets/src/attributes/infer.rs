//! Types of attributes from the values of JSON lines.
use std::collections::HashMap;

use spandrel_filter::{ATTRIBUTES_MAX, Attribute, AttributeType, Schema, parse_timestamp};

use super::cell::check;
use super::error::RowProblem;
use super::value::Value;

/// What the values of an attribute have in common so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    Bool,
    /// Whole numbers of 64 bits with sign.
    Whole,
    Number,
    /// Texts that are all timestamps.
    Timestamp,
    Text,
    Tags,
}

#[derive(Debug)]
struct Guess {
    name: String,
    /// None while all were null.
    seen: Option<Seen>,
    /// The first line with a value.
    line: u64,
}

/// Learns a schema from lines: attributes in the order in which they first come.
#[derive(Debug, Default)]
pub(super) struct Inference {
    guesses: Vec<Guess>,
    by_name: HashMap<String, usize>,
}

impl Inference {
    /// Learns from one value, and checks that it is one of its type.
    pub(super) fn learn(&mut self, line: u64, name: &str, value: Value<'_>) -> Result<(), RowProblem> {
        let number = match self.by_name.get(name) {
            Some(&number) => number,
            None if self.guesses.len() == ATTRIBUTES_MAX => return Err(RowProblem::Attributes),
            None => {
                self.by_name.insert(name.to_owned(), self.guesses.len());
                self.guesses.push(Guess { name: name.to_owned(), seen: None, line });
                self.guesses.len() - 1
            }
        };
        let Some(guess) = self.guesses.get_mut(number) else { return Ok(()) };
        let Some(here) = seen(name, value, guess.seen)? else { return Ok(()) };
        check(name, here.kind(), value)?;
        guess.seen = Some(match guess.seen {
            None => {
                guess.line = line;
                here
            }
            Some(before) => before.and(here).ok_or_else(|| RowProblem::Conflict {
                name: name.to_owned(),
                found: here.words(),
                first: before.words(),
                line: guess.line,
            })?,
        });
        Ok(())
    }

    /// The schema. An attribute that is null in every line is a keyword.
    pub(super) fn finish(self) -> Result<Schema, RowProblem> {
        if self.guesses.is_empty() {
            return Err(RowProblem::Nothing);
        }
        let kind = |seen: Option<Seen>| seen.map_or(AttributeType::Keyword, Seen::kind);
        let attributes =
            self.guesses.into_iter().map(|Guess { name, seen, .. }| Attribute { name, kind: kind(seen) });
        Schema::new(attributes.collect()).map_err(RowProblem::Schema)
    }
}

/// What one value is. None of a null. Among texts that are not all timestamps a timestamp is one more text.
fn seen(name: &str, value: Value<'_>, before: Option<Seen>) -> Result<Option<Seen>, RowProblem> {
    Ok(Some(match value {
        Value::Null => return Ok(None),
        Value::Bool(_) => Seen::Bool,
        Value::Whole(whole) if i64::try_from(whole).is_ok() => Seen::Whole,
        Value::Whole(_) | Value::Number(_) => Seen::Number,
        Value::Text(text) if before != Some(Seen::Text) && parse_timestamp(text).is_ok() => Seen::Timestamp,
        Value::Text(_) => Seen::Text,
        Value::Array(_) => Seen::Tags,
        Value::Object => return Err(RowProblem::Unusable { name: name.to_owned(), found: value.kind() }),
    }))
}

impl Seen {
    /// What values of both are. None where no type holds both.
    fn and(self, other: Seen) -> Option<Seen> {
        match (self, other) {
            (a, b) if a == b => Some(a),
            (Seen::Whole, Seen::Number) | (Seen::Number, Seen::Whole) => Some(Seen::Number),
            (Seen::Timestamp, Seen::Text) | (Seen::Text, Seen::Timestamp) => Some(Seen::Text),
            _ => None,
        }
    }

    fn kind(self) -> AttributeType {
        match self {
            Seen::Bool => AttributeType::Bool,
            Seen::Whole => AttributeType::I64,
            Seen::Number => AttributeType::F64,
            Seen::Timestamp => AttributeType::Timestamp,
            Seen::Text => AttributeType::Keyword,
            Seen::Tags => AttributeType::Tags,
        }
    }

    fn words(self) -> &'static str {
        match self {
            Seen::Bool => "a bool",
            Seen::Whole | Seen::Number => "a number",
            Seen::Timestamp | Seen::Text => "text",
            Seen::Tags => "an array",
        }
    }
}
