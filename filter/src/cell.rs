//! What rows hold.
use std::fmt::{self, Write};

use crate::attribute::AttributeType;
use crate::order;

/// What a row has in one attribute.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Cell {
    /// Nothing. A row without a tag has this, not an empty set.
    #[default]
    Null,
    /// Text of at most 4 096 bytes.
    Keyword(String),
    /// At least one tag.
    Tags(Tags),
    /// True or false.
    Bool(bool),
    /// A whole number.
    I64(i64),
    /// A finite number.
    F64(f64),
    /// Microseconds since 1970.
    Timestamp(i64),
}

impl Cell {
    /// Whether an attribute of a type may hold it.
    pub fn fits(&self, kind: AttributeType) -> bool {
        match self {
            Cell::Null => true,
            Cell::Keyword(_) => kind == AttributeType::Keyword,
            Cell::Tags(_) => kind == AttributeType::Tags,
            Cell::Bool(_) => kind == AttributeType::Bool,
            Cell::I64(_) => kind == AttributeType::I64,
            Cell::F64(_) => kind == AttributeType::F64,
            Cell::Timestamp(_) => kind == AttributeType::Timestamp,
        }
    }

    /// Bytes that it takes in memory beside its own.
    pub fn heap_bytes(&self) -> usize {
        match self {
            Cell::Keyword(text) => text.capacity(),
            Cell::Tags(Tags { text, ends }) => text.capacity() + ends.capacity() * size_of::<usize>(),
            Cell::Null | Cell::Bool(_) | Cell::I64(_) | Cell::F64(_) | Cell::Timestamp(_) => 0,
        }
    }

    /// The key of a number. None for other values.
    pub fn key(&self) -> Option<u64> {
        match self {
            Cell::I64(value) | Cell::Timestamp(value) => Some(order::key_of_i64(*value)),
            Cell::F64(value) => Some(order::key_of_f64(*value)),
            Cell::Null | Cell::Keyword(_) | Cell::Tags(_) | Cell::Bool(_) => None,
        }
    }

    /// The number with a key, as a cell. None where the type has no numbers.
    pub fn of_key(kind: AttributeType, key: u64) -> Option<Cell> {
        match kind {
            AttributeType::I64 => Some(Cell::I64(order::i64_of_key(key))),
            AttributeType::F64 => Some(Cell::F64(order::f64_of_key(key))),
            AttributeType::Timestamp => Some(Cell::Timestamp(order::i64_of_key(key))),
            AttributeType::Keyword | AttributeType::Tags | AttributeType::Bool => None,
        }
    }

    /// The texts by which a dictionary knows it: a keyword, each tag, `true` or `false`. None of a number or null.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        let (one, tags) = match self {
            Cell::Keyword(text) => (Some(text.as_str()), None),
            Cell::Bool(value) => (Some(bool_text(*value)), None),
            Cell::Tags(tags) => (None, Some(tags.iter())),
            Cell::Null | Cell::I64(_) | Cell::F64(_) | Cell::Timestamp(_) => (None, None),
        };
        one.into_iter().chain(tags.into_iter().flatten())
    }
}

/// `true` and `false` as values of a dictionary.
pub(crate) fn bool_text(value: bool) -> &'static str {
    if value { "true" } else { "false" }
}

/// Texts in the order in which they were added, each once. One allocation holds all.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Tags {
    text: String,
    /// Where each ends in `text`.
    ends: Vec<usize>,
}

impl Tags {
    /// Texts in this order. The caller ensures that each is there once.
    pub fn of_texts<'a>(texts: impl ExactSizeIterator<Item = &'a str> + Clone) -> Tags {
        let mut tags = Tags {
            text: String::with_capacity(texts.clone().map(str::len).sum()),
            ends: Vec::with_capacity(texts.len()),
        };
        for text in texts {
            tags.text.push_str(text);
            tags.ends.push(tags.text.len());
        }
        tags
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The tags in order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, &end)| self.text.get(start..end).unwrap_or_default())
    }

    /// Adds a tag after the others. The caller ensures that it is not there yet.
    pub fn push(&mut self, tag: impl fmt::Display) {
        // A String takes all that is written.
        let _ = write!(self.text, "{tag}");
        self.ends.push(self.text.len());
    }
}

impl<T: fmt::Display> FromIterator<T> for Tags {
    fn from_iter<I: IntoIterator<Item = T>>(tags: I) -> Self {
        let mut all = Tags::default();
        tags.into_iter().for_each(|tag| all.push(tag));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_come_back_in_order() {
        let tags: Tags = ["red", "", "grün"].into_iter().collect();
        assert_eq!(tags.iter().collect::<Vec<&str>>(), ["red", "", "grün"]);
        assert_eq!((tags.len(), tags.is_empty()), (3, false));
        assert_eq!(Tags::of_texts(["red", "", "grün"].into_iter()), tags);
        assert_eq!([7, 12].into_iter().collect::<Tags>().iter().collect::<Vec<&str>>(), ["7", "12"]);
    }

    #[test]
    fn cells_know_their_type_and_key() {
        for kind in AttributeType::ALL {
            assert!(Cell::Null.fits(kind));
            if let Some(cell) = Cell::of_key(kind, order::key_of_i64(12)) {
                assert!(cell.fits(kind) && kind.is_number());
                assert_eq!(cell.key(), Some(order::key_of_i64(12)));
            } else {
                assert!(!kind.is_number());
            }
        }
        assert_eq!(Cell::Bool(true).texts().collect::<Vec<_>>(), ["true"]);
        assert_eq!(Cell::Tags(["a", "b"].into_iter().collect()).texts().count(), 2);
        assert_eq!(Cell::I64(3).texts().count(), 0);
    }
}
