//! One vector that may be among the nearest, by its estimate and what this errs by.
use std::cmp::Ordering;

use spandrel_index::Location;

/// One vector, as far as its code tells.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Candidate {
    /// Estimated squared distance in head space.
    pub(crate) estimate: f32,
    /// Standard error of the estimate.
    pub(crate) error: f32,
    pub(crate) location: Location,
    /// Whether its exact distance has been asked for.
    pub(crate) compared: bool,
}

impl Candidate {
    /// The smallest distance that is likely, `errors` standard errors below the estimate.
    pub(crate) fn least(&self, errors: f32) -> f32 {
        self.estimate - errors * self.error
    }

    /// The largest distance that is likely. An estimate below 0 is known to be wrong.
    pub(crate) fn most(&self, errors: f32) -> f32 {
        self.estimate.max(0.0) + errors * self.error
    }

    /// Standard errors by which the estimate is over `distance`: the fewer, the likelier is the vector nearer than that.
    pub(super) fn errors_over(&self, distance: f32) -> f32 {
        (self.estimate - distance) / self.error
    }
}

/// The likelier to be within `distance` first.
pub(super) fn by_chance(a: &Candidate, b: &Candidate, distance: f32) -> Ordering {
    let chance = a.errors_over(distance).total_cmp(&b.errors_over(distance));
    chance.then(a.estimate.total_cmp(&b.estimate)).then(a.location.cmp(&b.location))
}

/// What is too far for its error at a distance.
#[derive(Debug, Clone, Copy)]
pub(super) struct Unlikely {
    pub(super) distance: f32,
    /// Standard errors over it.
    pub(super) errors_over: f32,
}

impl Unlikely {
    /// The largest estimate with such an error that is likely enough.
    pub(super) fn most(self, error: f32) -> f32 {
        self.distance + self.errors_over * error
    }
}

impl Default for Unlikely {
    fn default() -> Unlikely {
        Unlikely { distance: 0.0, errors_over: f32::INFINITY }
    }
}
