//! Distances between vectors.
use spandrel_names::{UnknownName, named};

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

named! { Metric, "metric", L2 => "l2", InnerProduct => "ip", Cosine => "cosine" }

/// A radius that no distance can be compared with.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error(
    "radius is {found}, expected a finite number{least} for {metric}",
    least = if *metric == Metric::InnerProduct { "" } else { " of 0 or more" }
)]
pub struct RadiusError {
    /// Radius that was given.
    pub found: f32,
    /// Whose distances it was given for.
    pub metric: Metric,
}

impl Metric {
    /// The stable number stored in files.
    pub(crate) const fn code(self) -> u8 {
        self as u8
    }

    /// The metric of a stored number.
    pub(crate) fn from_code(code: u8) -> Result<Metric, UnknownName> {
        Self::ALL.into_iter().find(|m| m.code() == code).ok_or_else(|| Metric::unknown(&code.to_string()))
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

    /// The score of a distance as shown: the inverse of [`Metric::distance_of_score`].
    pub fn score_of_distance(self, distance: f32) -> f32 {
        self.distance_of_score(distance)
    }

    /// Checks that a radius is one: a finite number, and not below 0 where no distance is.
    ///
    /// # Errors
    /// [`RadiusError`].
    pub fn check_radius(self, radius: f32) -> Result<(), RadiusError> {
        let is_radius = radius.is_finite() && (radius >= 0.0 || self == Metric::InnerProduct);
        if is_radius { Ok(()) } else { Err(RadiusError { found: radius, metric: self }) }
    }

    /// Whether a vector at a distance, as shown to users, is within a radius in the same unit, which counts itself.
    pub fn is_within(self, distance: f32, radius: f32) -> bool {
        self.score_of_distance(distance) <= self.score_of_distance(radius)
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

    #[test]
    fn a_radius_counts_itself_and_is_refused_where_nothing_is_within() {
        assert!(Metric::L2.is_within(2.0, 2.0) && !Metric::Cosine.is_within(0.3, 0.2));
        assert!(Metric::InnerProduct.is_within(-1.0, -2.0) && !Metric::InnerProduct.is_within(-2.0, -1.0));
        for metric in Metric::ALL {
            assert!(
                [f32::NAN, f32::INFINITY, f32::NEG_INFINITY]
                    .map(|r| metric.check_radius(r))
                    .iter()
                    .all(Result::is_err)
            );
            assert_eq!(metric.check_radius(-1.0).is_ok(), metric == Metric::InnerProduct);
            assert!(metric.check_radius(0.0).is_ok());
        }
        let message = Metric::L2.check_radius(-1.0).unwrap_err().to_string();
        assert_eq!(message, "radius is -1, expected a finite number of 0 or more for l2");
    }
}
