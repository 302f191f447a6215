//! Memory for searching: in all, or for each vector.
use std::fmt;
use std::str::FromStr;

use super::ByteSize;

/// What searching may keep in memory.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum SearchMemory {
    /// Bytes in all.
    Total(ByteSize),
    /// Bytes for each vector.
    PerVector(f64),
}

impl SearchMemory {
    /// Bytes for each of `vectors`.
    pub fn per_vector(self, vectors: u64) -> f64 {
        match self {
            SearchMemory::Total(size) => size.0 as f64 / vectors.max(1) as f64, // CAST: an estimate
            SearchMemory::PerVector(bytes) => bytes,
        }
    }
}

impl fmt::Display for SearchMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SearchMemory::Total(size) => size.fmt(f),
            SearchMemory::PerVector(bytes) => write!(f, "{bytes}B"),
        }
    }
}

impl FromStr for SearchMemory {
    type Err = String;

    fn from_str(text: &str) -> Result<SearchMemory, String> {
        let number = text.strip_suffix('B').and_then(|number| number.parse::<f64>().ok());
        match number {
            Some(bytes) if bytes > 0.0 && bytes.is_finite() => Ok(SearchMemory::PerVector(bytes)),
            Some(_) => Err(format!("'{text}' is no memory for a vector, expected such as 40B")),
            None => match text.parse() {
                Ok(size) => Ok(SearchMemory::Total(size)),
                Err(_) => {
                    Err(format!("'{text}' is no memory, expected such as 32GiB in all or 40B a vector"))
                }
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_are_read() {
        let per_vector = |text: &str| text.parse::<SearchMemory>().map(|m| m.per_vector(1 << 20));
        assert_eq!(per_vector("40B"), Ok(40.0));
        assert_eq!(per_vector("2.5B"), Ok(2.5));
        assert_eq!(per_vector("32MiB"), Ok(32.0));
        for wrong in ["", "B", "0B", "-1B", "infB", "many"] {
            assert!(per_vector(wrong).is_err(), "{wrong}");
        }
        for text in ["40B", "32GiB"] {
            assert_eq!(text.parse::<SearchMemory>().unwrap().to_string(), text);
        }
    }
}
