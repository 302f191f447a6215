//! Lloyd's algorithm over all leaves at once, to mend what the tree cut badly.
use std::sync::atomic::{AtomicBool, Ordering};

use rayon::prelude::*;

use super::head_kind::HeadMaker;
use super::{ClusterParams, Clustering, Stopped};
use crate::Rows;
use crate::filing::{Filer, FilerScratch, FilingParams, FilingWidth, HeadBlocks, ReplicaRule};

/// Moves every head to its place among the rows nearest to it; heads without a row stay.
///
/// Blocks and leaves stay as they are.
pub(super) fn refine(
    rows: Rows<'_>,
    params: &ClusterParams,
    clustering: &mut Clustering,
    pool: &rayon::ThreadPool,
    stop: &AtomicBool,
) -> Result<(), Stopped> {
    let nearest = nearest_heads(rows, clustering, params.refine_width, pool, stop)?;
    let mut first = vec![0_u32; clustering.count as usize + 1];
    for &head in &nearest {
        first[head as usize + 1] += 1;
    }
    for at in 1..first.len() {
        first[at] += first[at - 1];
    }
    let mut next = first.clone();
    let mut members = vec![0_u32; rows.len()];
    for (row, &head) in nearest.iter().enumerate() {
        let slot = &mut next[head as usize];
        members[*slot as usize] = row as u32; // CAST: a part has fewer than 2^32 rows
        *slot += 1;
    }
    pool.install(|| {
        clustering.heads.par_chunks_mut(rows.row_bytes()).zip(first.par_windows(2)).try_for_each_init(
            || HeadMaker::new(rows, params.heads),
            |maker, (head, range)| {
                let members = &members[range[0] as usize..range[1] as usize];
                if stop.load(Ordering::Relaxed) {
                    return Err(Stopped);
                }
                if !members.is_empty() {
                    maker.write_head(members, head);
                }
                Ok(())
            },
        )
    })
}

/// The nearest head of each row, but for the few that lie outside the blocks looked into.
fn nearest_heads(
    rows: Rows<'_>,
    clustering: &Clustering,
    width: FilingWidth,
    pool: &rayon::ThreadPool,
    stop: &AtomicBool,
) -> Result<Vec<u32>, Stopped> {
    let ends: Vec<u32> = clustering.blocks.iter().map(|block| block.heads.end).collect();
    let centers: Vec<u8> = clustering.blocks.iter().flat_map(|block| block.center.iter().copied()).collect();
    let blocks = HeadBlocks {
        heads: rows.with_bytes(&clustering.heads),
        ends: &ends,
        centers: rows.with_bytes(&centers),
        regions: &[ends.len() as u32], // CAST: fewer than heads
    };
    let params = FilingParams { rule: ReplicaRule::None, copies_max: 1, nearest: 1 };
    let filer = Filer::new(blocks, params, width, pool);
    let mut members: Vec<Vec<u32>> = vec![Vec::new(); ends.len()];
    for (row, &leaf) in clustering.leaf_of_row.iter().enumerate() {
        let block = ends.partition_point(|&end| end <= leaf);
        members[block].push(row as u32); // CAST: a part has fewer than 2^32 rows
    }
    let filed: Result<Vec<Vec<u32>>, Stopped> = pool.install(|| {
        let blocks = members.par_iter().enumerate();
        let file = |scratch: &mut FilerScratch, (block, members): (usize, &Vec<u32>)| {
            if stop.load(Ordering::Relaxed) {
                return Err(Stopped);
            }
            let mut bytes = Vec::new();
            rows.gather(members, &mut bytes);
            let mut heads = Vec::with_capacity(members.len());
            filer.visit_block(block, rows.with_bytes(&bytes), scratch, |_, nearest| {
                heads.push(nearest.heads[0])
            });
            Ok(heads)
        };
        blocks.map_init(FilerScratch::default, file).collect()
    });
    let mut nearest = vec![0; rows.len()];
    for (members, heads) in members.iter().zip(filed?) {
        for (&row, head) in members.iter().zip(heads) {
            nearest[row as usize] = head;
        }
    }
    Ok(nearest)
}
