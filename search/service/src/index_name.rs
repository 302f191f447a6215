//! The rule of names that indexes are served under: they go into metrics, logs and addresses.
use spandrel_names::{QUOTED_MAX, cut};

/// Longest name, in bytes.
const BYTES_MAX: usize = 64;

/// A name that no index can be served under.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{found}' is no name of an index, expected 1 to 64 of A-Z, a-z, 0-9, '.', '_' and '-'")]
pub struct IndexNameError {
    /// The name, by its beginning and end where it is long.
    pub found: String,
}

/// Refuses a name that no index can be served under: settings, the command line and requests that load one ask here.
///
/// # Errors
/// A name that is empty, longer than 64 bytes, or has other characters than letters and digits of ASCII, '.', '_' and '-'.
pub fn check_index_name(name: &str) -> Result<(), IndexNameError> {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if !name.is_empty() && name.len() <= BYTES_MAX && name.chars().all(good) {
        return Ok(());
    }
    Err(IndexNameError { found: cut(name, QUOTED_MAX).escape_default().to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_of_few_characters() {
        for good in ["a", "sift-1m_v2.0", &"x".repeat(64)] {
            assert_eq!(check_index_name(good), Ok(()), "{good}");
        }
        for bad in ["", "a b", "a/b", "ä", "a=b", &"x".repeat(65), &"\n".repeat(1 << 20)] {
            let refused = check_index_name(bad).expect_err("no name").to_string();
            assert!(refused.contains("1 to 64 of A-Z") && refused.len() < 1000, "{refused}");
        }
    }
}
