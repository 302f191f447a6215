//! Why a filter does not belong to a schema.
use crate::attribute::{Attribute, AttributeType, ID, Schema};
use crate::limits::{NESTING_MAX, TERMS_MAX, VALUES_MAX};
use crate::timestamp::TimestampError;

/// Attributes that a message lists.
const LISTED: usize = 20;
/// Longer names are not looked for among others of similar spelling.
const SIMILAR_BYTES_MAX: usize = 64;

/// Why a filter does not bind to a schema.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// No attribute has this name.
    #[error("no attribute `{name}`{hint}")]
    Unknown {
        /// Name in the filter.
        name: String,
        /// The nearest by spelling, and the attributes there are.
        hint: String,
    },
    /// An attribute is asked for twice.
    #[error("attribute `{0}` is named twice")]
    Twice(String),
    /// The value is not of the attribute's type.
    #[error("`{name}` is {kind}, which is not compared with {given}")]
    Value {
        /// Name of the attribute.
        name: String,
        /// Type by the schema.
        kind: AttributeType,
        /// The value, and what it is.
        given: String,
    },
    /// The attribute's type has no such predicate.
    #[error("`{name}` is {kind}, `{operator}` {advice}")]
    Operator {
        /// Name of the attribute.
        name: String,
        /// Type by the schema.
        kind: AttributeType,
        /// The predicate in text.
        operator: &'static str,
        /// What it is for and what to write instead.
        advice: &'static str,
    },
    /// Another predicate than a list of ids was asked of the id.
    #[error(
        "`{ID}` is the row's id, which takes =, !=, in and not in with numbers from 0 to 18446744073709551614"
    )]
    Id,
    /// NaN and infinities are in no order that rows have.
    #[error("`{name}` is compared with {value}, expected a finite number")]
    NotFinite {
        /// Name of the attribute.
        name: String,
        /// NaN or an infinity.
        value: f64,
    },
    /// A text compared with a timestamp is none.
    #[error("`{name}` is timestamp: {source}")]
    Timestamp {
        /// Name of the attribute.
        name: String,
        /// Where the text departs from RFC 3339.
        source: TimestampError,
    },
    /// An AND or OR has no parts.
    #[error("an {0} of nothing")]
    Empty(&'static str),
    /// The tree is too deep.
    #[error("the filter nests deeper than {NESTING_MAX} levels")]
    Nesting,
    /// There are too many comparisons.
    #[error("the filter has more than {TERMS_MAX} comparisons; `in` and `contains any` take lists")]
    Terms,
    /// There are too many values in lists.
    #[error("the lists of the filter hold more than {VALUES_MAX} values")]
    Values,
}

impl BindError {
    pub(super) fn unknown(name: &str, schema: &Schema) -> BindError {
        let attributes = schema.attributes();
        let mut hint = match nearest(name, attributes) {
            Some(near) => format!("; the nearest is `{near}`"),
            None => String::new(),
        };
        hint += if attributes.is_empty() { "; there are no attributes" } else { "; there are " };
        let listed: Vec<String> = attributes
            .iter()
            .take(LISTED)
            .map(|Attribute { name, kind }| format!("`{name}` ({kind})"))
            .collect();
        hint += &listed.join(", ");
        if attributes.len() > LISTED {
            hint += &format!(" and {} more", attributes.len() - LISTED);
        }
        BindError::Unknown { name: name.chars().take(80).collect(), hint }
    }
}

/// The attribute with the most similar name, if a third of its letters or fewer differ.
fn nearest<'a>(name: &str, attributes: &'a [Attribute]) -> Option<&'a str> {
    let similar = |other: &&'a Attribute| name.len().max(other.name.len()) <= SIMILAR_BYTES_MAX;
    let distance = |other: &'a Attribute| (edits(name, &other.name), other.name.as_str());
    let (edits, near) = attributes.iter().filter(similar).map(distance).min()?;
    (edits <= near.chars().count().div_ceil(3)).then_some(near)
}

/// Letters to change, add or remove to get from one text to another; the case of letters does not count.
fn edits(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.to_lowercase().chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (at, letter) in from.to_lowercase().chars().enumerate() {
        let mut diagonal = at;
        let mut left = at + 1;
        for (cell, &other) in row.iter_mut().skip(1).zip(&to) {
            let above = *cell;
            left = (diagonal + usize::from(letter != other)).min(above + 1).min(left + 1);
            (diagonal, *cell) = (above, left);
        }
        if let Some(first) = row.first_mut() {
            *first = at + 1;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_are_counted() {
        assert_eq!(edits("kitten", "sitting"), 3);
        assert_eq!(edits("", "abc"), 3);
        assert_eq!(edits("abc", ""), 3);
        assert_eq!(edits("Price", "price"), 0);
        assert_eq!(edits("flaw", "lawn"), 2);
    }
}
