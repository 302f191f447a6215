//! From values with their positions to positions with their values: numbers of values sorted by position in scratch.
use std::ops::Range;

use spandrel_io::Store;

use crate::BuildError;
use crate::checkpoint::ATTRIBUTE_FORWARD;
use crate::spill::{Spill, SpillReader, SpillWriter, buffer_records_min};

/// Bytes of a pair in scratch: position and number of the value.
const PAIR_BYTES: usize = 8;
/// Most groups of positions: each has a buffer while values are merged.
const GROUPS_MAX: u64 = 256;
/// Fewest positions of a group.
const GROUP_POSITIONS_MIN: u64 = 1 << 16;
/// Bytes of pairs that are sorted at once.
pub(crate) const SORT_BYTES: u64 = 32 << 20;

/// Memory that sorting the numbers of the values of `positions` takes.
pub(crate) fn memory_bytes(positions: u64) -> u64 {
    let group = group_positions(positions);
    positions.div_ceil(group) * (buffer_records_min(PAIR_BYTES) * PAIR_BYTES) as u64 // CAST: widening
        + 2 * SORT_BYTES
        + 4 * group
}

fn group_positions(positions: u64) -> u64 {
    positions.div_ceil(GROUPS_MAX).max(GROUP_POSITIONS_MIN)
}

/// Takes values in ascending order.
pub(super) struct ForwardSorter {
    spill: SpillWriter,
    group_positions: u64,
    positions: u64,
}

impl ForwardSorter {
    pub(super) fn create(scratch: &dyn Store, positions: u64) -> Result<ForwardSorter, BuildError> {
        let group_positions = group_positions(positions);
        let groups = positions.div_ceil(group_positions) as usize; // CAST: a few hundred
        let spill = SpillWriter::create(scratch, ATTRIBUTE_FORWARD, groups, PAIR_BYTES, 0)?;
        Ok(ForwardSorter { spill, group_positions, positions })
    }

    pub(super) fn push(&mut self, position: u32, value: u32) -> Result<(), BuildError> {
        let group = (u64::from(position) / self.group_positions) as usize; // CAST: below the number of groups, at most `GROUPS_MAX`
        let pair = u64::from(position) | u64::from(value) << 32;
        self.spill.push(group, &[&pair.to_le_bytes()])
    }

    pub(super) fn finish(self) -> Result<Sorted, BuildError> {
        let ForwardSorter { spill, group_positions, positions } = self;
        Ok(Sorted { spill: spill.finish()?, group_positions, positions })
    }
}

/// Numbers of values by groups of positions.
pub(super) struct Sorted {
    spill: Spill,
    group_positions: u64,
    positions: u64,
}

impl Sorted {
    /// Hands the values of each position, in order, to `take`.
    pub(super) fn each(
        &self,
        scratch: &dyn Store,
        mut take: impl FnMut(&[u32]) -> Result<(), BuildError>,
    ) -> Result<(), BuildError> {
        let spill = SpillReader::open(scratch, ATTRIBUTE_FORWARD, &self.spill)?;
        let mut part = Part::default();
        for group in 0..spill.groups() {
            let first = group as u64 * self.group_positions; // CAST: widening
            let end = (first + self.group_positions).min(self.positions);
            // Where positions have very many values, a part of them at a time.
            let bytes = spill.records(group) * PAIR_BYTES as u64; // CAST: widening
            let parts = bytes.div_ceil(SORT_BYTES).max(1);
            let step = (end - first).div_ceil(parts).max(1);
            for start in (first..end).step_by(step as usize) {
                part.read(&spill, group, start..(start + step).min(end))?;
                part.each(&mut take)?;
            }
        }
        Ok(())
    }
}

/// Values of some positions in memory.
#[derive(Default)]
struct Part {
    /// Where those of each position begin, and where the last end.
    starts: Vec<u32>,
    values: Vec<u32>,
    pairs: Vec<(u32, u32)>,
}

impl Part {
    fn read(&mut self, spill: &SpillReader, group: usize, positions: Range<u64>) -> Result<(), BuildError> {
        self.pairs.clear();
        self.starts.clear();
        self.starts.resize((positions.end - positions.start) as usize + 1, 0); // CAST: usize is 64 bits
        let (records, mut bytes) = (spill.records(group), Vec::new());
        let step = buffer_records_min(PAIR_BYTES) as u64; // CAST: widening
        for from in (0..records).step_by(step as usize) {
            spill.read(group, from..(from + step).min(records), &mut bytes)?;
            for pair in bytes.as_chunks::<PAIR_BYTES>().0 {
                let [a, b, c, d, value @ ..] = *pair;
                let position = u64::from(u32::from_le_bytes([a, b, c, d]));
                if positions.contains(&position) {
                    let at = (position - positions.start) as u32; // CAST: below the positions of a group, which are u32
                    self.pairs.push((at, u32::from_le_bytes(value)));
                    self.starts[at as usize + 1] += 1;
                }
            }
        }
        for at in 1..self.starts.len() {
            self.starts[at] += self.starts[at - 1];
        }
        self.values.clear();
        self.values.resize(self.pairs.len(), 0);
        // Values come in ascending order, and stay so at each position.
        let mut next = self.starts.clone();
        for &(at, value) in &self.pairs {
            self.values[next[at as usize] as usize] = value;
            next[at as usize] += 1;
        }
        Ok(())
    }

    fn each(&self, take: &mut impl FnMut(&[u32]) -> Result<(), BuildError>) -> Result<(), BuildError> {
        self.starts.windows(2).try_for_each(|ends| take(&self.values[ends[0] as usize..ends[1] as usize]))
    }
}

#[cfg(test)]
mod tests {
    use spandrel_io::FolderStore;

    use super::*;

    #[test]
    fn values_come_back_by_position_also_where_a_group_does_not_fit() {
        let dir = tempfile::tempdir().unwrap();
        let store = FolderStore::new(dir.path());
        let positions = GROUP_POSITIONS_MIN + 100;
        let mut sorter = ForwardSorter::create(&store, positions).unwrap();
        let has = |position: u64, value: u64| position * 7 % 160 < value || position == 77;
        let mut pairs = 0;
        for value in 0..160 {
            for position in (0..positions).filter(|&position| has(position, value)) {
                sorter.push(position as u32, value as u32).unwrap();
                pairs += 1;
            }
        }
        assert!(pairs * PAIR_BYTES as u64 > SORT_BYTES, "more than is sorted at once");
        let mut position = 0;
        let sorted = sorter.finish().unwrap();
        let check = |values: &[u32]| {
            let expected: Vec<u32> = (0..160).filter(|&v| has(position, u64::from(v))).collect();
            assert_eq!(values, expected, "{position}");
            position += 1;
            Ok(())
        };
        sorted.each(&store, check).unwrap();
        assert_eq!(position, positions);
    }
}
