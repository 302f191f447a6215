//! What is wrong with a filter.
use std::collections::HashMap;

/// Bytes of a message at most: it is in the status and in its details, which are headers.
const MESSAGE_BYTES: usize = 1000;

/// What is wrong with a filter, for whoever wrote it and for their program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FilterFault {
    /// In words.
    pub(crate) message: String,
    /// The byte of the text or JSON at which it goes wrong.
    pub(crate) position: Option<usize>,
    /// Name of the attribute that is meant.
    pub(crate) attribute: Option<String>,
}

impl FilterFault {
    pub(crate) fn new(message: impl Into<String>) -> FilterFault {
        FilterFault { message: cut(message.into(), MESSAGE_BYTES), position: None, attribute: None }
    }

    /// What a program is told beside the words.
    pub(crate) fn metadata(&self) -> HashMap<String, String> {
        let position = self.position.map(|position| ("position".to_owned(), position.to_string()));
        let attribute = self.attribute.clone().map(|name| ("attribute".to_owned(), name));
        position.into_iter().chain(attribute).collect()
    }
}

/// The beginning of a text that is longer than `most` bytes.
pub(crate) fn cut(mut text: String, most: usize) -> String {
    if text.len() > most {
        let end = (0..=most).rev().find(|&at| text.is_char_boundary(at));
        text.truncate(end.unwrap_or_default());
        text.push_str(" ...");
    }
    text
}
