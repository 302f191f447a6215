//! The vectors of a column: each one that a build takes, at the position of its id.
use super::error::VerifyError;
use super::ids::FirstIds;
use super::primaries::Primaries;
use super::watch::Watch;
use crate::Segment;
use crate::format::VectorsOf;

/// Checks the column of a segment that has one from end to end.
pub(super) fn check(segment: &Segment, ids: &FirstIds, watch: &mut Watch<'_>) -> Result<(), VerifyError> {
    watch.name("column");
    let mut vectors = Primaries::open(segment, VectorsOf::Column)?;
    for _ in 0..segment.count {
        vectors.next_vector(segment, watch)?;
    }
    vectors.finish(segment, ids)
}
