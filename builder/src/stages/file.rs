//! Files every vector under its nearest head and replicas, and sorts the copies into groups of lists.
use rayon::prelude::*;

use super::heads::StoredHeads;
use super::records::{REPLICA_BIT, RecordLayout, cut_groups, head_rows};
use crate::checkpoint::{FILED, Filed, LEAVES, PARTS};
use crate::filing::{FiledRow, Filer, FilerScratch, FilingParams, FilingWidth};
use crate::measured::filing::NEAREST;
use crate::phase_memory::group_lists;
use crate::spill::{SpillReader, SpillWriter};
use crate::state::BuildState;
use crate::{BuildError, Rows};

pub(crate) fn file(state: &BuildState<'_>) -> Result<Filed, BuildError> {
    let &BuildState { params, plan, context, ref scratch, .. } = state;
    let clustered = state.clustered();
    context.progress.phase("file", params.vectors, "vectors");
    let space = state.space();
    let heads = StoredHeads::read(params, clustered, &**scratch)?;
    let filing =
        FilingParams { rule: params.replicas, copies_max: params.max_copies as usize, nearest: NEAREST };
    let filer = Filer::new(heads.blocks(params), filing, FilingWidth::of(filing.copies_max), context.pool);
    let group_lists = group_lists(params);
    // Lists that values of a partition share have groups of their own, which are never too large to be in memory whole.
    let near = clustered.filed.div_ceil(group_lists);
    let group_of = |list: u32| match list.checked_sub(clustered.filed) {
        None => (list / group_lists) as usize,
        Some(shared) => (near + shared / group_lists) as usize,
    };
    let groups = (near + (clustered.heads - clustered.filed).div_ceil(group_lists)) as usize;
    let mut filed =
        SpillWriter::create(&**scratch, FILED, groups, params.filed_record_bytes(), plan.file_buffers)?;
    let spill = SpillReader::open(&**scratch, PARTS, &state.parted().spill)?;
    let leaves_file = SpillReader::open(&**scratch, LEAVES, &clustered.leaves)?;
    let layout = RecordLayout::of_parts(params);
    let (mut records, mut leaves, mut before) = (Vec::new(), Vec::new(), 0);
    for part in cut_groups(&spill, params.part_rows()) {
        context.check_stop()?;
        spill.read(part.group, part.records.clone(), &mut records)?;
        leaves_file.read(0, before..before + part.len(), &mut leaves)?;
        before += part.len();
        let rows = head_rows(params, space, layout, records.chunks_exact(layout.bytes));
        let rows = Rows { dtype: params.head_dtype(), dim: params.head_dim(), bytes: &rows };
        let by_block = heads.rows_by_block(&leaves);
        let filed_blocks: Vec<Vec<FiledRow>> = context.pool.install(|| {
            by_block
                .par_iter()
                .map_init(FilerScratch::default, |scratch, (block, picks)| {
                    let filed = file_picks(&filer, rows, *block, picks, scratch);
                    context.progress.advance(picks.len() as u64);
                    filed
                })
                .collect()
        });
        for copy in filed_blocks.iter().flatten() {
            let record = layout.record(&records, copy.row);
            let list = if copy.primary { copy.head } else { copy.head | REPLICA_BIT };
            filed.push(group_of(copy.head), &[&list.to_le_bytes(), record])?;
        }
        if clustered.heads == clustered.filed {
            continue;
        }
        // Lists that values of a partition share are as they were made.
        let mut shared = 0;
        for (leaf, record) in leaves.as_chunks::<4>().0.iter().zip(records.chunks_exact(layout.bytes)) {
            let list = u32::from_le_bytes(*leaf);
            if list >= heads.filed {
                filed.push(group_of(list), &[leaf, record])?;
                shared += 1;
            }
        }
        context.progress.advance(shared);
    }
    Ok(Filed { spill: filed.finish()? })
}

/// Files the rows `picks`, which lie in `block`; row numbers in the answer are those of `rows`.
fn file_picks(
    filer: &Filer<'_>,
    rows: Rows<'_>,
    block: usize,
    picks: &[u32],
    scratch: &mut FilerScratch,
) -> Vec<FiledRow> {
    let mut picked = Vec::with_capacity(picks.len() * rows.row_bytes());
    rows.gather(picks, &mut picked);
    let mut filed = Vec::new();
    filer.file_block(block, Rows { bytes: &picked, ..rows }, scratch, &mut filed);
    for copy in &mut filed {
        copy.row = picks[copy.row as usize];
    }
    filed
}
