//! Trains the code of the lists on residuals sampled from the filed vectors.
use spandrel_index::codes::CodeModel;
use spandrel_index::format::{BODY_AT, SectionKind};
use spandrel_index::{HeadSpace, for_each_element};
use spandrel_io::FileWriter;

use super::file::REPLICA_BIT;
use super::heads::StoredHeads;
use super::sample::FiledCopies;
use super::write::{SectionShape, finish_section};
use super::{RecordLayout, seed_of};
use crate::checkpoint::{Checked, Clustered, Filed, ScratchFiles, Section};
use crate::config::Params;
use crate::progress::Context;
use crate::{BuildError, Target};

pub(crate) fn train(
    params: &Params,
    (checked, clustered, filed): (&Checked, &Clustered, &Filed),
    files: &ScratchFiles,
    target: Target<'_>,
    context: Context<'_>,
) -> Result<Section, BuildError> {
    let space = HeadSpace::of(params.metric, checked.norm_max);
    let heads = StoredHeads::read(params, clustered, files)?.heads;
    let copies = FiledCopies::open(params, space, filed, files)?;
    let (_, mean) = copies.spread(context)?;
    let layout = RecordLayout::of_filed(params);
    let wanted = (params.code.sample_rows(params.dim) as u64).min(copies.len()); // CAST: widening
    context.progress.phase("train", wanted, "vectors");
    let mut residuals = Vec::new();
    let (mut vector, mut head) = (Vec::new(), Vec::new());
    copies.sample(wanted, context, |record| {
        let list = (layout.list(record) & !REPLICA_BIT) as usize;
        vector.clear();
        space.float_vector(params.dtype, layout.vector(record), &mut vector);
        let row = &heads[list * params.head_row_bytes()..][..params.head_row_bytes()];
        head.clear();
        for_each_element(params.head_dtype(), row, |x| head.push(x));
        // The element that lifts inner product is not coded.
        residuals.extend(vector.iter().zip(&head).take(params.dim).map(|(x, c)| x - c));
    })?;
    let seed = seed_of(params, 4, 0);
    let train = || match &params.codebooks {
        Some(codebooks) => CodeModel::import(params.code, codebooks, mean, residuals),
        None => CodeModel::train(params.code, mean, residuals, seed),
    };
    let model = context.pool.install(train).map_err(std::io::Error::other)?;
    context.progress.note(&format!("code {}: {}", params.code, model.allotment()));
    let mut writer = FileWriter::create_with_head(&target.section(SectionKind::Model), BODY_AT)?;
    writer.append(&model.to_bytes())?;
    let shape = SectionShape { kind: SectionKind::Model, unit_bytes: 0, count: params.vectors };
    finish_section(params, target, shape, writer)
}
