//! An expression as text that parses back to it.
use std::fmt::{self, Write};

use super::token::is_plain;
use crate::expression::{Comparison, Filter, TagMode, Value};

/// Text that [`Filter::parse`] reads back to an equal expression, but for NaN, infinities, an AND or OR of less than two
/// parts, and an attribute called `id`, which no text says.
impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Filter::And(parts) => joined(f, parts, " and "),
            Filter::Or(parts) => joined(f, parts, " or "),
            Filter::Not(inner) => match &**inner {
                Filter::IsNull { name } => write!(f, "{} is not null", Name(name)),
                Filter::Ids(ids) => write!(f, "id not in {ids:?}"),
                Filter::Not(_) => write!(f, "not {inner}"),
                inner => write!(f, "not ({inner})"),
            },
            Filter::Compare { name, comparison, value } => write!(f, "{} {comparison} {value}", Name(name)),
            Filter::In { name, values, negated } => {
                write!(f, "{} {}in {}", Name(name), if *negated { "not " } else { "" }, List(values))
            }
            Filter::Between { name, low, high } => write!(f, "{} between {low} and {high}", Name(name)),
            Filter::IsNull { name } => write!(f, "{} is null", Name(name)),
            Filter::Contains { name, tags, mode } => {
                let quoted: Vec<Quoted<'_>> = tags.iter().map(|tag| Quoted(tag)).collect();
                match (mode, quoted.as_slice()) {
                    (TagMode::Any, [tag]) => write!(f, "{} contains {tag}", Name(name)),
                    (TagMode::Any, tags) => write!(f, "{} contains any {}", Name(name), List(tags)),
                    (TagMode::All, tags) => write!(f, "{} contains all {}", Name(name), List(tags)),
                }
            }
            Filter::Ids(ids) => write!(f, "id in {ids:?}"),
        }
    }
}

fn joined(f: &mut fmt::Formatter<'_>, parts: &[Filter], word: &str) -> fmt::Result {
    for (at, part) in parts.iter().enumerate() {
        if at > 0 {
            f.write_str(word)?;
        }
        match part {
            Filter::And(_) | Filter::Or(_) => write!(f, "({part})")?,
            part => write!(f, "{part}")?,
        }
    }
    Ok(())
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.sign())
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Text(text) => write!(f, "{}", Quoted(text)),
            Value::Bool(value) => write!(f, "{value}"),
            Value::I64(value) => write!(f, "{value}"),
            // With a point or an exponent, so that it does not come back as a whole number.
            Value::F64(value) => write!(f, "{value:?}"),
        }
    }
}

struct Name<'a>(&'a str);

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if is_plain(self.0) { f.write_str(self.0) } else { escaped(f, '`', self.0) }
    }
}

struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        escaped(f, '"', self.0)
    }
}

fn escaped(f: &mut fmt::Formatter<'_>, quote: char, text: &str) -> fmt::Result {
    f.write_char(quote)?;
    for c in text.chars() {
        match c {
            '\\' => f.write_str("\\\\")?,
            '\n' => f.write_str("\\n")?,
            '\r' => f.write_str("\\r")?,
            '\t' => f.write_str("\\t")?,
            c if c == quote => write!(f, "\\{c}")?,
            c if c.is_control() => write!(f, "\\u{{{:x}}}", u32::from(c))?,
            c => f.write_char(c)?,
        }
    }
    f.write_char(quote)
}

struct List<'a, T>(&'a [T]);

impl<T: fmt::Display> fmt::Display for List<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('[')?;
        for (at, item) in self.0.iter().enumerate() {
            write!(f, "{}{item}", if at > 0 { ", " } else { "" })?;
        }
        f.write_char(']')
    }
}
