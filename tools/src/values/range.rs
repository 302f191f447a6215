//! Ranges of rows.
use std::ops::Range;
use std::str::FromStr;

/// Rows `A..B`: from A up to, not including, B. Never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowRange(pub Range<u64>);

/// What is no range of rows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected A..B with A less than B, such as 0..1000")]
pub struct BadRowRange;

impl FromStr for RowRange {
    type Err = BadRowRange;

    fn from_str(text: &str) -> Result<RowRange, BadRowRange> {
        let (start, end) = text.split_once("..").ok_or(BadRowRange)?;
        let start = if start.is_empty() { 0 } else { start.parse().map_err(|_| BadRowRange)? };
        let end = end.parse().map_err(|_| BadRowRange)?;
        if start < end { Ok(RowRange(start..end)) } else { Err(BadRowRange) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        assert_eq!("3..7".parse(), Ok(RowRange(3..7)));
        assert_eq!("..7".parse(), Ok(RowRange(0..7)));
        for bad in ["", "..", "7", "3..", "7..3", "3..3", "3...7", "-1..3", "3..99999999999999999999"] {
            assert_eq!(bad.parse::<RowRange>(), Err(BadRowRange), "{bad}");
        }
    }
}
