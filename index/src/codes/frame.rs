//! How vectors become what is coded.
use super::rotation::{BatchRotation, Rotation};

/// What residuals are measured from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Centre {
    /// The head of the list.
    Head,
    /// The mean of all vectors that are not outliers.
    Mean,
}

/// How vectors become what is coded: less their centre, and rotated.
#[derive(Debug, Clone, Copy)]
pub(super) struct Frame<'a> {
    /// Elements of a vector.
    pub(super) dim: usize,
    /// Dimensions coded.
    pub(super) dims: usize,
    pub(super) rotation: &'a Rotation,
    pub(super) centre: Centre,
    /// Mean of the vectors that are not outliers. Queries are coded around it, so that their values are not spent on a
    /// common offset.
    pub(super) mean: &'a [f32],
}

impl<'a> Frame<'a> {
    pub(super) fn batch_rotation(&self) -> BatchRotation<'a> {
        BatchRotation::new(self.rotation, self.dim, self.dims)
    }
}

/// Residuals of one list, ready to be coded.
pub(super) struct Rotated<'a> {
    /// The residuals, rotated, back to back.
    pub(super) rows: &'a [f32],
    /// What they are measured from, less the mean, rotated.
    pub(super) centre: &'a [f32],
    /// Squared length of each residual.
    pub(super) squared: &'a [f64],
}
