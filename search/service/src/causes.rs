//! Errors, and what there is instead, in words.
use std::error::Error;

/// An error and what caused it, on one line.
pub(crate) fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let line = error.to_string();
        if !text.contains(&line) {
            text += &format!(": {line}");
        }
        cause = error.source();
    }
    text
}

/// Names that there are, behind the word "there".
pub(crate) fn known_words(known: &[String]) -> String {
    match known {
        [] => "are none".to_owned(),
        [one] => format!("is only '{one}'"),
        many => format!("are '{}'", many.join("', '")),
    }
}
