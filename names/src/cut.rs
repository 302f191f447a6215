//! Long texts of others in messages.
use std::borrow::Cow;

/// Most characters of a word or value that a message quotes.
pub const QUOTED_MAX: usize = 120;

/// A text in at most about `most` characters: one that is longer is given by its beginning and its end, and by how many
/// characters stand between them.
pub fn cut(text: &str, most: usize) -> Cow<'_, str> {
    let count = if text.len() <= most { text.len() } else { text.chars().count() };
    if count <= most {
        return Cow::Borrowed(text);
    }
    let last = most / 4;
    let first: String = text.chars().take(most - last).collect();
    let end: String = text.chars().skip(count - last).collect();
    Cow::Owned(format!("{first} ... {} characters ... {end}", count - most))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_cut_between_characters() {
        for short in ["", "abc", &"\u{e9}".repeat(8)] {
            assert_eq!(cut(short, 8), short);
        }
        let long = format!("{}{}{}", "ab".repeat(3), "\u{e9}".repeat(100), "yz");
        assert_eq!(cut(&long, 8), "ababab ... 100 characters ... yz");
    }
}
