//! Clusters each part into lists, one part in memory at a time.
use spandrel_index::format::hash_hex;

use super::records::{Part, cut_groups, head_rows};
use crate::checkpoint::{Clustered, HEADS, LEAVES, PARTS};
use crate::cluster::ClusterParams;
use crate::config::Params;
use crate::spill::{SpillReader, SpillWriter};
use crate::state::BuildState;
use crate::{BuildError, Rows};

pub(crate) fn cluster(state: &BuildState<'_>) -> Result<Clustered, BuildError> {
    let &BuildState { params, context, ref scratch, .. } = state;
    context.progress.phase("cluster", params.vectors, "vectors");
    let space = state.space();
    let spill = SpillReader::open(&**scratch, PARTS, &state.parted().spill)?;
    let mut heads_file = scratch.create(HEADS)?;
    let mut leaves = SpillWriter::create(&**scratch, LEAVES, 1, 4, 1 << 20)?;
    let (mut centers, mut block_ends) = (Vec::new(), Vec::new());
    let (mut heads, mut vectors_before) = (0_u32, 0_u64);
    let mut records = Vec::new();
    for (number, part) in cut_groups(&spill, params.part_rows()).iter().enumerate() {
        context.check_stop()?;
        spill.read(part.group, part.records.clone(), &mut records)?;
        let rows = head_rows(params, space, &records);
        let lists = lists_of(params, vectors_before, part);
        vectors_before += part.len();
        let mut clustering = ClusterParams::new(lists);
        clustering.heads = params.heads;
        clustering.seed = params.seed_of(2, number as u64);
        let rows = Rows { dtype: params.head_dtype(), dim: params.head_dim(), bytes: &rows };
        let clustering = crate::cluster::cluster(rows, &clustering, context.pool, context.stop)?;
        heads_file.append(&clustering.heads)?;
        for block in &clustering.blocks {
            block_ends.push(heads + block.heads.end);
            centers.extend_from_slice(&block.center);
        }
        for leaf in &clustering.leaf_of_row {
            leaves.push(0, &[&(heads + leaf).to_le_bytes()])?;
        }
        heads += clustering.count;
        context.progress.advance(part.len());
    }
    heads_file.append(&centers)?;
    block_ends.iter().try_for_each(|end: &u32| heads_file.append(&end.to_le_bytes()))?;
    let written = heads_file.finish()?;
    Ok(Clustered {
        heads,
        blocks: block_ends.len() as u32, // CAST: fewer than heads
        heads_bytes: written.bytes,
        heads_hash: hash_hex(written.hash),
        leaves: leaves.finish()?,
    })
}

/// Lists of a part: its share of all of them by vectors, at least one.
fn lists_of(params: &Params, vectors_before: u64, part: &Part) -> usize {
    let share = |vectors: u64| u128::from(params.lists) * u128::from(vectors) / u128::from(params.vectors);
    let lists = share(vectors_before + part.len()) - share(vectors_before);
    (lists as usize).max(1) // CAST: at most the lists of the whole index
}
