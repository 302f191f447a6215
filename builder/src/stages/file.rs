//! Files every vector under its nearest head and replicas, and sorts the copies into groups of lists.
use std::io::Read;

use fs_err as fs;
use rayon::prelude::*;
use spandrel_index::HeadSpace;

use super::cluster::head_rows;
use super::{RecordLayout, parts};
use crate::BuildError;
use crate::checkpoint::{Checked, Clustered, Filed, Parted, ScratchFiles};
use crate::cluster::Rows;
use crate::config::Params;
use crate::filing::{Filed as FiledRow, Filer, FilerScratch, FilingParams, FilingWidth, HeadBlocks};
use crate::plan::Plan;
use crate::progress::Context;
use crate::spill::{SpillReader, SpillWriter};

/// Marks a replica in the list number of a filed copy.
pub(super) const REPLICA_BIT: u32 = 1 << 31;
/// Nearest heads that a replica rule chooses from, as in SPANN.
const NEAREST: usize = 64;

pub(crate) fn file(
    params: &Params,
    plan: &Plan,
    (checked, parted, clustered): (&Checked, &Parted, &Clustered),
    files: &ScratchFiles,
    context: Context<'_>,
) -> Result<Filed, BuildError> {
    context.progress.phase("file", params.vectors, "vectors");
    let space = HeadSpace::of(params.metric, checked.norm_max);
    let blocks = Blocks::open(params, clustered, files)?;
    let filing =
        FilingParams { rule: params.replicas, copies_max: params.max_copies as usize, nearest: NEAREST };
    let filer =
        Filer::new(blocks.head_blocks(params), filing, FilingWidth::of(filing.copies_max), context.pool);
    let group_lists = Plan::group_lists(params);
    let groups = clustered.heads.div_ceil(group_lists) as usize;
    let mut filed =
        SpillWriter::create(&files.filed(), groups, params.filed_record_bytes(), plan.spill_memory)?;
    let spill = SpillReader::open(&files.parts(), parted.spill.clone())?;
    let mut leaves_file = std::io::BufReader::new(fs::File::open(files.leaves())?);
    let layout = RecordLayout::of_parts(params);
    let (mut records, mut leaves) = (Vec::new(), Vec::new());
    for part in parts(params, &parted.spill) {
        context.check_stop()?;
        spill.read(part.group, part.records.clone(), &mut records)?;
        leaves.resize(4 * part.len() as usize, 0); // CAST: a part fits in memory
        leaves_file.read_exact(&mut leaves)?;
        let rows = head_rows(params, space, &records);
        let rows = Rows { dtype: params.head_dtype(), dim: params.head_dim(), bytes: &rows };
        let by_block = blocks.rows_by_block(&leaves);
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
            let record = &records[copy.row as usize * layout.bytes..][..layout.bytes];
            let list = if copy.primary { copy.head } else { copy.head | REPLICA_BIT };
            filed.push((copy.head / group_lists) as usize, &[&list.to_le_bytes(), record])?;
        }
    }
    Ok(Filed { spill: filed.finish()?, group_lists })
}

/// Heads in blocks.
struct Blocks<'a> {
    heads: Vec<u8>,
    ends: &'a [u32],
    centers: Vec<u8>,
}

impl<'a> Blocks<'a> {
    fn open(
        params: &Params,
        clustered: &'a Clustered,
        files: &ScratchFiles,
    ) -> Result<Blocks<'a>, BuildError> {
        let row_bytes = params.head_row_bytes();
        let mut heads = fs::read(files.heads())?;
        let heads_bytes = clustered.heads as usize * row_bytes;
        let expected = heads_bytes + clustered.block_ends.len() * row_bytes;
        if heads.len() != expected {
            let what = format!("{} bytes, expected {expected}", heads.len());
            return Err(BuildError::Scratch { path: files.heads(), what });
        }
        let centers = heads.split_off(heads_bytes);
        Ok(Blocks { heads, ends: &clustered.block_ends, centers })
    }

    fn head_blocks(&self, params: &Params) -> HeadBlocks<'_> {
        let (dtype, dim) = (params.head_dtype(), params.head_dim());
        let rows = |bytes| Rows { dtype, dim, bytes };
        HeadBlocks { heads: rows(&self.heads), ends: self.ends, centers: rows(&self.centers) }
    }

    /// Numbers of a part's rows by the block of their leaf, blocks ascending.
    fn rows_by_block(&self, leaves: &[u8]) -> Vec<(usize, Vec<u32>)> {
        let mut keyed: Vec<(usize, u32)> = (leaves.as_chunks::<4>().0.iter().zip(0..))
            .map(|(&leaf, row)| (self.ends.partition_point(|&end| end <= u32::from_le_bytes(leaf)), row))
            .collect();
        keyed.sort_unstable();
        keyed
            .chunk_by(|a, b| a.0 == b.0)
            .map(|rows| (rows[0].0, rows.iter().map(|&(_, row)| row).collect()))
            .collect()
    }
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
