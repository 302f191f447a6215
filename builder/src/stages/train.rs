//! Trains the code of the lists on residuals sampled from the filed vectors.
use spandrel_index::codes::{Binariser, CodeModel, CodeSpec, is_held_out};
use spandrel_index::for_each_element;
use spandrel_index::format::{QueryCodeRecord, SectionKind};

use super::aware::{compare, note};
use super::heads::StoredHeads;
use super::records::{REPLICA_BIT, RecordLayout};
use super::sample::FiledCopies;
use super::section::{SectionOf, SectionShape, finish_section};
use super::training::{FiledSample, Training};
use crate::BuildError;
use crate::binariser::binariser;
use crate::checkpoint::Section;
use crate::state::BuildState;

/// The model, and what was measured of a code that knows the queries of a sample.
pub(crate) fn train(state: &BuildState<'_>) -> Result<(Section, Option<QueryCodeRecord>), BuildError> {
    let &BuildState { params, context, ref scratch, .. } = state;
    let (space, target) = (state.space(), state.target());
    let given = binariser(state.input, params.code)?;
    let centre = given.as_ref().map(Binariser::centre).transpose()?;
    let heads = StoredHeads::read(params, state.clustered(), &**scratch)?.heads;
    let copies = FiledCopies::open(state)?;
    let (spread, rows) = copies.spread(context)?;
    let mean = spread.mean(&rows);
    let blind = if params.code == CodeSpec::Binary { blind_signs(&rows, &mean) } else { 0 };
    if 2 * blind > params.dim {
        context.progress.note(&format!(
            "code binary keeps the side of the mean on which a vector lies, and in {blind} of {} dimensions that is the same \
             for most vectors: expect low recall, or take another code",
            params.dim
        ));
    }
    drop(rows);
    let layout = RecordLayout::of_filed(params);
    let wanted = (params.code.sample_rows(params.dim) as u64).min(copies.len()); // CAST: widening
    let (mut residuals, mut sample) = (Vec::new(), FiledSample::default());
    let keeps = params.coding_sample().is_some();
    let (mut vector, mut head) = (Vec::new(), Vec::new());
    // Where few values differ, all may be held out: then none is.
    for holds_out in [params.code.holds_out(params.vectors, params.dim), false] {
        if !residuals.is_empty() {
            break;
        }
        context.progress.phase("train", wanted, "vectors");
        copies.sample(wanted, context, |record| {
            if holds_out && is_held_out(layout.vector(record)) {
                return;
            }
            let list = (layout.list(record) & !REPLICA_BIT) as usize;
            vector.clear();
            space.float_vector(params.dtype, layout.vector(record), &mut vector);
            let row = &heads[list * params.head_row_bytes()..][..params.head_row_bytes()];
            head.clear();
            for_each_element(params.head_dtype(), row, |x| head.push(x));
            let from = centre.as_deref().unwrap_or(&head);
            // The element that lifts inner product is not coded.
            residuals.extend(vector.iter().zip(from).take(params.dim).map(|(x, c)| x - c));
            if keeps {
                sample.vectors.extend_from_slice(layout.vector(record));
                sample.lists.push(list as u32); // CAST: read from four bytes
            }
        })?;
    }
    let seed = params.seed_of(4, 0);
    let training =
        Training { params, space, heads: &heads, mean: &mean, residuals: &residuals, seed, sample };
    let compared = compare(state, &training)?;
    drop(training);
    let moments = compared.as_ref().and_then(|(moments, _)| moments.as_ref());
    let model = match (given.zip(centre), &params.codebooks) {
        (Some((given, centre)), _) => CodeModel::given(&given, centre, &residuals)?,
        (None, Some(codebooks)) => context
            .pool
            .install(|| CodeModel::import(params.code, codebooks, mean, residuals))
            .map_err(std::io::Error::other)?,
        (None, None) => context
            .pool
            .install(|| CodeModel::train_for(params.code, mean, residuals, seed, moments))
            .map_err(std::io::Error::other)?,
    };
    let record = compared.map(|(_, record)| QueryCodeRecord { used: model.knows_queries(), ..record });
    record.iter().for_each(|record| context.progress.note(&note(params.code, record)));
    context.progress.note(&format!("code {}: {}", params.code, model.allotment()));
    let mut writer = target.create(SectionKind::Model)?;
    writer.append(&model.to_bytes())?;
    let (kind, count) = (SectionKind::Model, params.vectors);
    let shape = SectionShape { kind, unit_bytes: 0, count, of: SectionOf::Main };
    Ok((finish_section(params, target, shape, writer)?, record))
}

/// Dimensions in which nine of ten rows lie on one side of the mean.
fn blind_signs(rows: &[f32], mean: &[f32]) -> usize {
    let dim = mean.len();
    let count = rows.len() / dim;
    let is_blind = |(at, &mean): (usize, &f32)| {
        let below = rows.iter().skip(at).step_by(dim).filter(|&&x| x < mean).count();
        10 * below.min(count - below) < count
    };
    mean.iter().enumerate().filter(|&column| is_blind(column)).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_that_say_nothing_are_counted() {
        // A constant, one value in twenty that is not 0, and two that lie on both sides.
        let row =
            |i: usize| [5.0, if i.is_multiple_of(20) { 1.0 } else { 0.0 }, (i % 2) as f32, (i % 7) as f32];
        let rows: Vec<f32> = (0..200).flat_map(row).collect();
        assert_eq!(blind_signs(&rows, &[5.0, 0.05, 0.5, 3.0]), 2);
    }
}
