//! Vectors in the order of positions, as primaries lie in lists.
use super::error::VerifyError;
use super::ids::{FirstIds, pair_hash};
use super::records::Records;
use super::values::check_values;
use super::watch::Watch;
use crate::Segment;
use crate::format::{OpenError, Record, VectorsOf};

/// The vectors in position order, and what their ids and positions add up to.
pub(super) struct Primaries {
    of: VectorsOf,
    records: Records,
    position: u32,
    pair_sum: u64,
}

impl Primaries {
    pub(super) fn open(segment: &Segment, of: VectorsOf) -> Result<Primaries, OpenError> {
        Ok(Primaries { of, records: Records::open(segment, of)?, position: 0, pair_sum: 0 })
    }

    /// The next record and its position.
    pub(super) fn next(&mut self, watch: &mut Watch<'_>) -> Result<(Record<'_>, u32), VerifyError> {
        let record = self.records.next(watch)?;
        let position = self.position;
        self.pair_sum = self.pair_sum.wrapping_add(pair_hash(record.id, position));
        self.position = position.wrapping_add(1);
        Ok((record, position))
    }

    /// The next vector, refused unless it is one that a build takes.
    pub(super) fn next_vector(
        &mut self,
        segment: &Segment,
        watch: &mut Watch<'_>,
    ) -> Result<&[u8], VerifyError> {
        let (of, shape) = (self.of, segment.shape().vectors(self.of));
        let (record, position) = self.next(watch)?;
        check_values(shape, record.vector, record.inverse_norm).map_err(|(found, expected)| {
            OpenError::field(&segment.vectors(of).path, format!("vector at {position}"), found, expected)
        })?;
        Ok(record.vector)
    }

    pub(super) fn finish(self, segment: &Segment, ids: &FirstIds) -> Result<(), VerifyError> {
        self.records.finish()?;
        if self.pair_sum != ids.pair_sum {
            let expected = "the id at each position to be that of the vectors";
            return Err(OpenError::field(&segment.ids.path, "positions of ids", "others", expected).into());
        }
        Ok(())
    }
}
