//! The heads as clustering leaves them in the scratch folder.
//!
//! ```text
//! file = heads, a row each | centre of each block, a row each | end of each block: u32 | end of each region, in blocks: u32
//! ```
//! Heads of lists that are shared by values of a partition come last, and are in no block.
use spandrel_io::Store;

use super::section::{Content, read_checked};
use crate::checkpoint::{Clustered, HEADS};
use crate::config::Params;
use crate::filing::HeadBlocks;
use crate::{BuildError, Rows};

/// Heads in blocks.
pub(super) struct StoredHeads {
    /// Rows of the heads.
    pub(super) heads: Vec<u8>,
    /// Heads that rows are filed under by nearness, the first of all.
    pub(super) filed: u32,
    centers: Vec<u8>,
    ends: Vec<u32>,
    regions: Vec<u32>,
}

impl StoredHeads {
    /// Reads the file, checked by its hash.
    pub(super) fn read(
        params: &Params,
        clustered: &Clustered,
        scratch: &dyn Store,
    ) -> Result<StoredHeads, BuildError> {
        let &Clustered { heads: count, filed, blocks, regions, heads_bytes, ref heads_hash, .. } = clustered;
        let damaged = || BuildError::Scratch {
            path: scratch.path(HEADS),
            what: format!("not {count} heads, {filed} of them in {blocks} blocks of {regions} regions"),
        };
        let row_bytes = params.head_row_bytes();
        let [rows, numbers] = [[count, blocks], [blocks, regions]].map(|[a, b]| u64::from(a) + u64::from(b));
        // CAST: widening
        if rows * row_bytes as u64 + 4 * numbers != heads_bytes {
            return Err(damaged());
        }
        let content = Content { bytes: heads_bytes, from: 0, hash: heads_hash };
        let mut heads = read_checked(scratch, HEADS, content)?;
        let mut centers = heads.split_off(count as usize * row_bytes);
        let ends = centers.split_off(blocks as usize * row_bytes);
        let mut ends: Vec<u32> = ends.as_chunks().0.iter().map(|&end| u32::from_le_bytes(end)).collect();
        let regions = ends.split_off(blocks as usize);
        let cover = |ends: &[u32], all: u32| ends.is_sorted() && ends.last().copied().unwrap_or(0) == all;
        if !cover(&ends, filed) || !cover(&regions, blocks) || filed > count {
            return Err(damaged());
        }
        Ok(StoredHeads { heads, filed, centers, ends, regions })
    }

    pub(super) fn blocks(&self, params: &Params) -> HeadBlocks<'_> {
        let (dtype, dim) = (params.head_dtype(), params.head_dim());
        let rows = |bytes| Rows { dtype, dim, bytes };
        let heads = rows(&self.heads[..self.filed as usize * params.head_row_bytes()]);
        HeadBlocks { heads, ends: &self.ends, centers: rows(&self.centers), regions: &self.regions }
    }

    /// Numbers of a part's rows by the block of their leaf, blocks ascending; those in no block are left out.
    pub(super) fn rows_by_block(&self, leaves: &[u8]) -> Vec<(usize, Vec<u32>)> {
        let mut keyed: Vec<(usize, u32)> = (leaves.as_chunks::<4>().0.iter().zip(0..))
            .filter(|&(&leaf, _)| u32::from_le_bytes(leaf) < self.filed)
            .map(|(&leaf, row)| (self.ends.partition_point(|&end| end <= u32::from_le_bytes(leaf)), row))
            .collect();
        keyed.sort_unstable();
        keyed
            .chunk_by(|a, b| a.0 == b.0)
            .map(|rows| (rows[0].0, rows.iter().map(|&(_, row)| row).collect()))
            .collect()
    }
}
