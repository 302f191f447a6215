//! How much farther than the nearest head a list may lie.

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epsilons() {
        assert_eq!(parse_epsilon("0"), Ok(0.0));
        assert_eq!(parse_epsilon("0.25"), Ok(0.25));
        for bad in ["", "-0.1", "nan", "inf", "1e99", "x"] {
            assert_eq!(parse_epsilon(bad), Err(BadEpsilon), "{bad}");
        }
    }
}
