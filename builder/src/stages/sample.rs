//! Samples of the filed vectors.
use std::ops::Range;

use spandrel_index::{HeadSpace, Spread};

use super::records::RecordLayout;
use crate::BuildError;
use crate::checkpoint::FILED;
use crate::config::Params;
use crate::progress::Context;
use crate::spill::SpillReader;
use crate::state::BuildState;

/// Stretches of the filed vectors that a sample is taken from.
const STRETCHES: u64 = 256;

/// The filed copies of vectors, group by group.
pub(super) struct FiledCopies<'a> {
    params: &'a Params,
    space: HeadSpace,
    spill: SpillReader,
    groups: Vec<u64>,
}

impl<'a> FiledCopies<'a> {
    pub(super) fn open(state: &'a BuildState<'_>) -> Result<FiledCopies<'a>, BuildError> {
        let spill = SpillReader::open(&*state.scratch, FILED, &state.filed().spill)?;
        let groups = (0..spill.groups()).map(|group| spill.records(group)).collect();
        Ok(FiledCopies { params: state.params, space: state.space(), spill, groups })
    }

    /// Copies in all groups.
    pub(super) fn len(&self) -> u64 {
        self.groups.iter().sum()
    }

    /// Calls `each` with the records of about `wanted` copies from all over.
    pub(super) fn sample(
        &self,
        wanted: u64,
        context: Context<'_>,
        mut each: impl FnMut(&[u8]),
    ) -> Result<(), BuildError> {
        let layout = RecordLayout::of_filed(self.params);
        let (mut records, mut left) = (Vec::new(), wanted.min(self.len()));
        for (group, range) in stretches(&self.groups, wanted) {
            context.check_stop()?;
            self.spill.read(group, range.clone(), &mut records)?;
            records.chunks_exact(layout.bytes).for_each(&mut each);
            // Stretches are of equal length, which may make a few more than wanted.
            let told = left.min(range.end - range.start);
            context.progress.advance(told);
            left -= told;
        }
        Ok(())
    }

    /// How a sample is spread in head space, and its rows; the element that lifts inner product is left out.
    pub(super) fn spread(&self, context: Context<'_>) -> Result<(Spread, Vec<f32>), BuildError> {
        let (params, layout) = (self.params, RecordLayout::of_filed(self.params));
        let wanted = Spread::sample_rows(params.dim) as u64; // CAST: widening
        // Stretches round what is wanted up.
        let room = wanted.next_multiple_of(STRETCHES).min(self.len()) as usize; // CAST: usize is 64 bits
        let (mut rows, mut row) = (Vec::with_capacity(room * params.dim), Vec::new());
        context.progress.phase("spread", wanted.min(self.len()), "vectors");
        self.sample(wanted, context, |record| {
            row.clear();
            self.space.float_vector(params.dtype, layout.vector(record), &mut row);
            rows.extend_from_slice(&row[..params.dim]);
        })?;
        Ok((Spread::of(&rows, params.dim), rows))
    }
}

/// Ranges of records that hold about `wanted` of all in equal stretches, given how many each group has.
fn stretches(groups: &[u64], wanted: u64) -> Vec<(usize, Range<u64>)> {
    let all: u64 = groups.iter().sum();
    let wanted = wanted.min(all);
    let count = STRETCHES.min(wanted);
    let mut stretches = Vec::new();
    let (mut group, mut before) = (0, 0);
    for stretch in 0..count {
        let start = (u128::from(all) * u128::from(stretch) / u128::from(count)) as u64; // CAST: below `all`
        while before + groups[group] <= start {
            before += groups[group];
            group += 1;
        }
        let first = start - before;
        let end = (first + wanted.div_ceil(count)).min(groups[group]);
        stretches.push((group, first..end));
    }
    stretches
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretches_cover_all_groups_evenly() {
        let taken = |groups: &[u64], wanted| -> u64 {
            stretches(groups, wanted).iter().map(|(_, range)| range.end - range.start).sum()
        };
        let groups = [0, 100_000, 0, 30_000, 7];
        let found = stretches(&groups, 10_000);
        assert_eq!(found.len() as u64, STRETCHES);
        assert_eq!((found[0].clone(), found[STRETCHES as usize - 1].0), ((1, 0..40), 3));
        assert!(found.iter().filter(|(group, _)| *group == 3).count().abs_diff(59) <= 1);
        assert!((9_900..=10_240).contains(&taken(&groups, 10_000)));
        assert_eq!((taken(&[5], 5), taken(&[3], 2)), (5, 2));
        // Of few vectors each about once, not many times over.
        assert!((3_000..3_300).contains(&taken(&[1_000, 2_000], 3_000)));
    }
}
