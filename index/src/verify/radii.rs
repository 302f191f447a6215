//! The radii of lists against their vectors.
use super::error::VerifyError;
use crate::format::{OpenError, SectionKind};
use crate::{Segment, for_each_element, list_radius};

/// Computes radii once more.
#[derive(Default)]
pub(super) struct Radii {
    head: Vec<f32>,
    rows: Vec<f32>,
}

impl Radii {
    /// Checks the radius of a list, given its primaries back to back.
    pub(super) fn check(
        &mut self,
        segment: &Segment,
        list: u32,
        primaries: &[u8],
    ) -> Result<(), VerifyError> {
        let (shape, heads, entry) = (segment.shape(), &segment.heads, segment.directory.entry(list));
        self.rows.clear();
        for vector in primaries.chunks_exact(shape.row_bytes()) {
            shape.space.float_vector(shape.dtype, vector, &mut self.rows);
        }
        self.head.clear();
        for_each_element(heads.dtype(), heads.row(list), |x| self.head.push(x));
        let expected = list_radius(&self.head, &self.rows, heads.dim(), shape.dim);
        if expected.to_bits() == entry.radius.to_bits() {
            return Ok(());
        }
        let path = segment.file(SectionKind::Directory).path().to_owned();
        Err(OpenError::field(&path, format!("radius of list {list}"), entry.radius, expected).into())
    }
}
