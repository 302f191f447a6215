//! Trains the code of the lists on residuals sampled from the filed vectors.
use std::ops::Range;

use fs_err as fs;
use spandrel_index::codes::CodeModel;
use spandrel_index::format::{BODY_AT, SectionKind};
use spandrel_index::{HeadSpace, for_each_element};
use spandrel_io::FileWriter;

use super::file::REPLICA_BIT;
use super::write::{SectionShape, finish_section};
use super::{RecordLayout, seed_of};
use crate::checkpoint::{Checked, Clustered, Filed, ScratchFiles, Section};
use crate::config::Params;
use crate::progress::Context;
use crate::spill::SpillReader;
use crate::{BuildError, Target};

/// Stretches of the filed vectors that a sample is taken from.
const STRETCHES: u64 = 256;

pub(crate) fn train(
    params: &Params,
    (checked, clustered, filed): (&Checked, &Clustered, &Filed),
    files: &ScratchFiles,
    target: Target<'_>,
    context: Context<'_>,
) -> Result<Section, BuildError> {
    let space = HeadSpace::of(params.metric, checked.norm_max);
    let mut heads = fs::read(files.heads())?;
    heads.truncate(clustered.heads as usize * params.head_row_bytes());
    let spill = SpillReader::open(&files.filed(), filed.spill.clone())?;
    let layout = RecordLayout::of_filed(params);
    let wanted = params.code.sample_rows(params.dim) as u64; // CAST: widening
    let groups: Vec<u64> = (0..filed.spill.groups()).map(|group| filed.spill.records(group)).collect();
    let wanted = wanted.min(groups.iter().sum());
    context.progress.phase("train", wanted, "vectors");
    let (mut records, mut residuals) = (Vec::new(), Vec::new());
    let (mut vector, mut head) = (Vec::new(), Vec::new());
    for (group, range) in stretches(&groups, wanted) {
        context.check_stop()?;
        spill.read(group, range.clone(), &mut records)?;
        for record in records.chunks_exact(layout.bytes) {
            let list = (layout.list(record) & !REPLICA_BIT) as usize;
            vector.clear();
            space.float_vector(params.dtype, layout.vector(record), &mut vector);
            let row = &heads[list * params.head_row_bytes()..][..params.head_row_bytes()];
            head.clear();
            for_each_element(params.head_dtype(), row, |x| head.push(x));
            // The element that lifts inner product is not coded.
            residuals.extend(vector.iter().zip(&head).take(params.dim).map(|(x, c)| x - c));
        }
        context.progress.advance(range.end - range.start);
    }
    let seed = seed_of(params, 4, 0);
    let mean = mean(params, &heads);
    let train = || match &params.codebooks {
        Some(codebooks) => CodeModel::import(params.code, codebooks, mean, &residuals),
        None => CodeModel::train(params.code, mean, &residuals, seed),
    };
    let model = context.pool.install(train).map_err(std::io::Error::other)?;
    context.progress.note(&format!("code {}: {}", params.code, model.allotment()));
    let mut writer = FileWriter::create_with_head(&target.section(SectionKind::Model), BODY_AT)?;
    writer.append(&model.to_bytes())?;
    let shape = SectionShape { kind: SectionKind::Model, unit_bytes: 0, count: params.vectors };
    finish_section(params, target, shape, writer)
}

/// Ranges of records that hold about `wanted` of all in equal stretches, given how many each group has.
fn stretches(groups: &[u64], wanted: u64) -> Vec<(usize, Range<u64>)> {
    let all: u64 = groups.iter().sum();
    let count = STRETCHES.min(wanted).min(all);
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

/// Mean of the heads, without the element that lifts inner product.
fn mean(params: &Params, heads: &[u8]) -> Vec<f32> {
    let mut sums = vec![0.0_f64; params.head_dim()];
    let mut count = 0.0;
    for row in heads.chunks_exact(params.head_row_bytes()) {
        let mut sums = sums.iter_mut();
        for_each_element(params.head_dtype(), row, |x| {
            if let Some(sum) = sums.next() {
                *sum += f64::from(x);
            }
        });
        count += 1.0;
    }
    sums.iter().take(params.dim).map(|sum| (sum / f64::max(count, 1.0)) as f32).collect() // CAST: rounds
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
