//! Ratios that are set: how much farther than the nearest head a list may lie, the recall wanted, shares.
use std::str::FromStr;

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

/// Reads one recall, or another ratio that is not nothing: above 0, to 1.
///
/// # Errors
/// Anything else.
pub fn parse_recall<T: FromStr + PartialOrd + From<u8>>(text: &str) -> Result<T, BadRecall> {
    text.parse().ok().filter(|recall| *recall > T::from(0) && *recall <= T::from(1)).ok_or(BadRecall)
}

/// What cannot be a share.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected a share from 0 to 1, such as 0.95")]
pub struct BadShare;

/// Reads one share: from 0 to 1.
///
/// # Errors
/// Anything else.
pub fn parse_share(text: &str) -> Result<f32, BadShare> {
    text.parse().ok().filter(|share| (0.0..=1.0).contains(share)).ok_or(BadShare)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recalls() {
        assert_eq!((parse_recall(".95"), parse_recall("1")), (Ok(0.95), Ok(1.0)));
        for bad in ["", "0", "-0.1", "1.01", "nan", "95"] {
            assert_eq!(parse_recall::<f64>(bad), Err(BadRecall), "{bad}");
        }
        // Not nothing once it is rounded.
        assert_eq!((parse_recall("1e-60"), parse_recall::<f32>("1e-60")), (Ok(1e-60), Err(BadRecall)));
    }

    #[test]
    fn shares() {
        assert_eq!((parse_share("0"), parse_share("0.25"), parse_share("1")), (Ok(0.0), Ok(0.25), Ok(1.0)));
        for bad in ["", "-0.1", "1.1", "nan", "x"] {
            assert_eq!(parse_share(bad), Err(BadShare), "{bad}");
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
