//! Ratios that queries are set by: how much farther than the nearest head a list may lie, and the recall wanted.

/// What cannot be an epsilon.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected a number from 0 on, such as 0.2")]
pub struct BadEpsilon;

/// Reads one epsilon: finite and not negative.
///
/// # Errors
/// Anything else.
pub fn parse_epsilon(text: &str) -> Result<f32, BadEpsilon> {
    let value: f32 = text.parse().map_err(|_| BadEpsilon)?;
    if value.is_finite() && value >= 0.0 { Ok(value) } else { Err(BadEpsilon) }
}

/// What cannot be a recall.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected a number above 0, to 1, such as 0.95")]
pub struct BadRecall;

/// Reads one recall: above 0, to 1.
///
/// # Errors
/// Anything else.
pub fn parse_recall(text: &str) -> Result<f64, BadRecall> {
    text.parse().ok().filter(|recall| *recall > 0.0 && *recall <= 1.0).ok_or(BadRecall)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recalls() {
        assert_eq!((parse_recall(".95"), parse_recall("1")), (Ok(0.95), Ok(1.0)));
        for bad in ["", "0", "-0.1", "1.01", "nan", "95"] {
            assert_eq!(parse_recall(bad), Err(BadRecall), "{bad}");
        }
    }

    #[test]
    fn epsilons() {
        assert_eq!(parse_epsilon("0"), Ok(0.0));
        assert_eq!(parse_epsilon("0.25"), Ok(0.25));
        for bad in ["", "-0.1", "nan", "inf", "1e99", "x"] {
            assert_eq!(parse_epsilon(bad), Err(BadEpsilon), "{bad}");
        }
    }
}
