//! Values of JSON in a line.
use std::fmt::Write as _;

use spandrel_filter::{TAGS_MAX, VALUE_BYTES_MAX};

use super::error::RowProblem;

pub(super) const ARRAY: &str = "an array";

/// A value of a line.
#[derive(Debug, Clone, Copy)]
pub(super) enum Value<'a> {
    Null,
    Bool(bool),
    /// A whole number of 64 bits, with or without sign.
    Whole(i128),
    Number(f64),
    Text(&'a str),
    Array(&'a TagList),
    Object,
}

impl Value<'_> {
    /// What it is, in words.
    pub(super) fn kind(self) -> &'static str {
        match self {
            Value::Null => "null",
            Value::Bool(_) => "a bool",
            Value::Whole(_) => "a whole number",
            Value::Number(_) => "a number",
            Value::Text(_) => "text",
            Value::Array(_) => ARRAY,
            Value::Object => "an object",
        }
    }
}

/// Tags of a value, as they come.
#[derive(Debug, Default)]
pub(super) struct TagList {
    text: String,
    /// Where each begins and ends in `text`.
    places: Vec<(usize, usize)>,
    /// Items, those that are no tags included.
    items: usize,
    problem: Option<TagProblem>,
}

/// What is wrong with the first item that is no tag.
#[derive(Debug, Clone, Copy)]
enum TagProblem {
    Bytes(usize),
    Kind(&'static str),
}

impl TagList {
    /// Refuses what is no list of tags.
    pub(super) fn check(&self, name: &str) -> Result<(), RowProblem> {
        if self.items > TAGS_MAX {
            return Err(RowProblem::Tags { name: name.to_owned(), tags: self.items });
        }
        match self.problem {
            None => Ok(()),
            Some(TagProblem::Bytes(bytes)) => Err(RowProblem::ValueBytes { name: name.to_owned(), bytes }),
            Some(TagProblem::Kind(found)) => Err(RowProblem::Tag { name: name.to_owned(), found }),
        }
    }

    /// The tags in their order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &str> {
        self.places.iter().map(|&(start, end)| self.text.get(start..end).unwrap_or_default())
    }

    pub(super) fn clear(&mut self) {
        let TagList { text, places, items, problem } = self;
        text.clear();
        places.clear();
        (*items, *problem) = (0, None);
    }

    /// Adds a tag that is at a place of the text that [`TagList::finish`] takes.
    pub(super) fn push_place(&mut self, start: usize, end: usize) {
        self.items += 1;
        if self.problem.is_some() || self.items > TAGS_MAX {
            return;
        }
        if end - start > VALUE_BYTES_MAX {
            self.problem = Some(TagProblem::Bytes(end - start));
        }
        self.places.push((start, end));
    }

    /// Takes the text that all tags are at places of.
    pub(super) fn finish(&mut self, text: &str) {
        if self.problem.is_none() && self.items <= TAGS_MAX {
            self.text.push_str(text);
        }
    }

    pub(super) fn push(&mut self, item: Value<'_>) {
        self.items += 1;
        // What is refused need not be kept.
        if self.problem.is_some() || self.items > TAGS_MAX {
            return;
        }
        let start = self.text.len();
        match item {
            Value::Text(text) if text.len() > VALUE_BYTES_MAX => {
                self.problem = Some(TagProblem::Bytes(text.len()));
            }
            Value::Text(text) => self.text.push_str(text),
            // A String takes all that is written.
            Value::Whole(number) => drop(write!(self.text, "{number}")),
            other => self.problem = Some(TagProblem::Kind(other.kind())),
        }
        self.places.push((start, self.text.len()));
    }
}

/// Takes a field's name and value.
pub(super) type EachField<'a> = &'a mut dyn FnMut(&str, Value<'_>);
