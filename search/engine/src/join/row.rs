//! A row of a group on its way.
use super::lists::ListAt;
use super::nearest::RowNearest;

/// An entry of a list.
#[derive(Debug, Clone, Copy)]
pub(super) struct EntryAt {
    pub(super) list: ListAt,
    pub(super) entry: usize,
}

/// A row of a group.
pub(super) struct Row {
    pub(super) nearest: RowNearest,
    /// Itself, where an index is joined with itself.
    pub(super) own: Option<EntryAt>,
    pub(super) inverse_norm: f32,
    pub(super) length_squared: f32,
    /// A score `s` is a squared distance of `offset + scale s` in head space.
    pub(super) offset: f32,
    pub(super) scale: f32,
    /// Squared distance to the nearest head.
    pub(super) first: f32,
}

impl Row {
    /// Squared distance of the farthest head whose list may hold a vector that is wanted, if no vector is farther from its head than this row from
    /// the nearest.
    pub(super) fn within(&self) -> f32 {
        let within = (self.offset + self.scale * self.nearest.limit()).max(0.0);
        let farthest = self.first + within + 2.0 * (within * self.first).sqrt();
        if farthest.is_nan() { f32::INFINITY } else { farthest }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_looks_as_far_as_the_radius_allows() {
        let row = |limit| Row {
            nearest: RowNearest::new(2, limit),
            own: None,
            inverse_norm: 0.0,
            length_squared: 0.0,
            offset: 0.0,
            scale: 1.0,
            first: 9.0,
        };
        // (3 + 4)^2.
        assert_eq!([16.0, 0.0].map(|limit| row(limit).within()), [49.0, 9.0]);
        assert_eq!(row(f32::INFINITY).within(), f32::INFINITY);
    }
}
