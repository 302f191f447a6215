//! The vectors of a column: each one that a build takes, at the position of its id.
use super::error::VerifyError;
use super::ids::FirstIds;
use super::primaries::Primaries;
use super::values::check_values;
use super::watch::Watch;
use crate::Segment;
use crate::format::{OpenError, VectorsOf};

/// Checks the column of a segment that has one from end to end.
pub(super) fn check(segment: &Segment, ids: &FirstIds, watch: &mut Watch<'_>) -> Result<(), VerifyError> {
    watch.name("column");
    let (of, shape) = (VectorsOf::Column, segment.shape().vectors(VectorsOf::Column));
    let mut records = Primaries::open(segment, of)?;
    for _ in 0..segment.count {
        let (record, position) = records.next(watch)?;
        check_values(shape, record.vector, record.inverse_norm).map_err(|(found, expected)| {
            OpenError::field(&segment.vectors(of).path, format!("vector at {position}"), found, expected)
        })?;
    }
    records.finish(segment, ids)
}
