//! Which version of an embedding model vectors come from: what a manifest says of it.
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::OpenError;

/// Bytes of a version at most.
const VERSION_BYTES_MAX: usize = 64;
/// Versions beside its own that an index lists, at most.
const COMPATIBLE_MAX: usize = 64;

/// Versions that an error lists at most: it travels in the headers of an answer.
const LISTED_MAX: usize = 8;

/// The version of the model that vectors were made by, and those whose queries may be compared with them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EmbeddingEntry {
    /// That of the vectors: see [`EmbeddingEntry::is_version`].
    pub version: String,
    /// Others whose queries are answered, each once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub compatible: Vec<String>,
}

/// A query whose version the index does not list.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("embedding version {asked:?}, expected {}", expected(.listed))]
pub struct EmbeddingVersionError {
    /// The version of the query.
    pub asked: String,
    /// Those that the index lists, its own first; none where it names none.
    pub listed: Vec<String>,
}

fn expected(listed: &[String]) -> String {
    match listed {
        [] => {
            "none: the index names no version of its vectors (build it with --embedding-version)".to_owned()
        }
        listed => match listed.split_at_checked(LISTED_MAX) {
            Some((first, more @ [_, ..])) => format!("{} or one of {} more", first.join(", "), more.len()),
            _ => listed.join(", "),
        },
    }
}

impl EmbeddingEntry {
    /// Whether a version may be called so: letters, digits and any of `. _ : / @ + -`, 64 bytes at most.
    pub fn is_version(text: &str) -> bool {
        let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"._:/@+-".contains(&byte);
        (1..=VERSION_BYTES_MAX).contains(&text.len()) && text.bytes().all(is_part)
    }

    /// What is wrong with it, and what would be right; none where nothing is.
    pub fn fault(&self) -> Option<(String, String)> {
        if let Some(wrong) = self.versions().find(|version| !EmbeddingEntry::is_version(version)) {
            let expected =
                format!("letters, digits and any of . _ : / @ + -, {VERSION_BYTES_MAX} bytes at most");
            return Some((wrong.to_owned(), expected));
        }
        if self.compatible.len() > COMPATIBLE_MAX {
            let found = format!("{} others", self.compatible.len());
            return Some((found, format!("at most {COMPATIBLE_MAX} other versions")));
        }
        let is_twice =
            |(at, version): (usize, &str)| self.versions().take(at).any(|before| before == version);
        let twice = self.versions().enumerate().find(|&(at, version)| is_twice((at, version)));
        twice.map(|(_, version)| (version.to_owned(), "each version once".to_owned()))
    }

    /// Every version that is listed, that of the vectors first.
    pub fn versions(&self) -> impl Iterator<Item = &str> {
        [&self.version].into_iter().chain(&self.compatible).map(String::as_str)
    }

    pub(super) fn check(&self, path: &Path) -> Result<(), OpenError> {
        match self.fault() {
            Some((found, expected)) => Err(OpenError::field(path, "embedding version", found, expected)),
            None => Ok(()),
        }
    }
}

/// Whether an index with `embedding` answers queries of version `asked`.
pub(super) fn answers(
    embedding: Option<&EmbeddingEntry>,
    asked: Option<&str>,
) -> Result<(), EmbeddingVersionError> {
    let Some(asked) = asked else { return Ok(()) };
    let listed = || embedding.iter().flat_map(|of| of.versions());
    if listed().any(|version| version == asked) {
        return Ok(());
    }
    let asked = asked.chars().take(VERSION_BYTES_MAX).collect();
    Err(EmbeddingVersionError { asked, listed: listed().map(str::to_owned).collect() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(version: &str, compatible: &[&str]) -> EmbeddingEntry {
        EmbeddingEntry {
            version: version.to_owned(),
            compatible: compatible.iter().map(|&of| of.to_owned()).collect(),
        }
    }

    #[test]
    fn versions_are_short_words_and_differ() {
        let long = "x".repeat(65);
        assert_eq!(entry("e5-base@v2", &["1.0", "a/b:c+d_e"]).fault(), None);
        for (version, compatible) in
            [("", vec![]), ("a b", vec![]), ("a,b", vec![]), (long.as_str(), vec![]), ("a", vec!["é"])]
        {
            assert!(entry(version, &compatible).fault().is_some(), "{version}");
        }
        assert_eq!(entry("a", &["b", "a"]).fault().unwrap().0, "a");
        assert_eq!(entry("a", &["b", "c", "b"]).fault().unwrap().0, "b");
        let many: Vec<String> = (0..65).map(|at| at.to_string()).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert!(entry("a", &many[..64]).fault().is_none() && entry("a", &many).fault().is_some());
    }

    #[test]
    fn only_listed_versions_are_answered() {
        let both = entry("2", &["1"]);
        for asked in [None, Some("1"), Some("2")] {
            assert_eq!(answers(Some(&both), asked), Ok(()));
        }
        let refused = answers(Some(&both), Some("3")).unwrap_err();
        assert_eq!(refused.to_string(), "embedding version \"3\", expected 2, 1");
        let many: Vec<String> = (0..64).map(|at| format!("{at:064}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        let refused = answers(Some(&entry("a", &many)), Some("b")).unwrap_err().to_string();
        assert!(refused.ends_with(" or one of 57 more") && refused.len() < 700, "{refused}");
        let nine = answers(Some(&entry("a", &many[..8])), Some("b")).unwrap_err().to_string();
        assert!(nine.ends_with(" or one of 1 more"), "{nine}");
        assert_eq!(answers(None, None), Ok(()));
        let refused = answers(None, Some("1")).unwrap_err();
        assert!(refused.listed.is_empty() && refused.to_string().contains("names no version"));
    }
}
