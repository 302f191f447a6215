//! How vectors become what is coded.
use super::aware::QueryMap;
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
    /// What queries go through, where that is not the same.
    pub(super) queries: Option<&'a QueryMap>,
    pub(super) centre: Centre,
    /// Mean of the vectors that are not outliers, or of queries that the code knows. Queries are coded around it, so that their values
    /// are not spent on a common offset.
    pub(super) mean: &'a [f32],
}

impl<'a> Frame<'a> {
    pub(super) fn batch_rotation(&self) -> BatchRotation<'a> {
        BatchRotation::new(self.rotation, self.dim, self.dims)
    }

    /// What queries go through, and points that are multiplied with codes as queries are.
    pub(super) fn query_rotation(&self) -> &'a Rotation {
        self.queries.map_or(self.rotation, |map| &map.rotation)
    }

    /// The point at which estimates are exact, if that is not the head of each list.
    pub(super) fn anchor(&self) -> Option<&'a [f32]> {
        self.queries.filter(|map| map.is_anchored).map(|_| self.mean)
    }
}

/// Residuals of one list, ready to be coded.
pub(super) struct Rotated<'a> {
    /// The residuals as they are, back to back.
    pub(super) residuals: &'a [f32],
    /// The residuals, rotated, back to back.
    pub(super) rows: &'a [f32],
    /// Where estimates are exact, less the mean, as queries are rotated: what they are measured from, or the anchor.
    pub(super) centre: &'a [f32],
    /// Squared length of each residual.
    pub(super) squared: &'a [f64],
}
