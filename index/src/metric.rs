//! Distances between vectors.
use std::fmt;
use std::str::FromStr;

/// How two vectors are compared. The codes are stored in files and never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Metric {
    /// Squared Euclidean distance, smallest first.
    L2 = 1,
    /// Inner product, largest first.
    InnerProduct = 2,
    /// `1 - cos`, smallest first. Vectors need not have unit length; a zero vector has no cosine.
    Cosine = 3,
}

/// A name or code that is no metric of this release.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown metric '{0}', expected l2, ip or cosine")]
pub struct UnknownMetric(pub String);

impl Metric {
    /// Every metric.
    pub const ALL: [Metric; 3] = [Metric::L2, Metric::InnerProduct, Metric::Cosine];

    /// The stable number stored in files.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The metric of a stored number.
    pub(crate) fn from_code(code: u8) -> Result<Metric, UnknownMetric> {
        Self::ALL.into_iter().find(|m| m.code() == code).ok_or_else(|| UnknownMetric(code.to_string()))
    }

    /// The name used on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Metric::L2 => "l2",
            Metric::InnerProduct => "ip",
            Metric::Cosine => "cosine",
        }
    }

    /// The distance shown to users for a score: itself, but the inner product for [`Metric::InnerProduct`].
    ///
    /// A score is the engine's own order: smaller is closer for every metric.
    pub fn distance_of_score(self, score: f32) -> f32 {
        match self {
            Metric::L2 | Metric::Cosine => score,
            Metric::InnerProduct => -score,
        }
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Metric {
    type Err = UnknownMetric;

    fn from_str(s: &str) -> Result<Metric, UnknownMetric> {
        Self::ALL.into_iter().find(|m| m.name() == s).ok_or_else(|| UnknownMetric(s.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_stable() {
        assert_eq!(Metric::ALL.map(Metric::code), [1, 2, 3]);
        for m in Metric::ALL {
            assert_eq!(Metric::from_code(m.code()), Ok(m));
            assert_eq!(m.name().parse(), Ok(m));
        }
        assert!(Metric::from_code(9).is_err());
        assert!("euclid".parse::<Metric>().is_err());
    }
}
