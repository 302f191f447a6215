//! The heads as clustering leaves them in the scratch folder.
//!
//! ```text
//! file = heads, a row each | centre of each block, a row each | end of each block: u32
//! ```
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
    centers: Vec<u8>,
    ends: Vec<u32>,
}

impl StoredHeads {
    /// Reads the file, checked by its hash.
    pub(super) fn read(
        params: &Params,
        clustered: &Clustered,
        scratch: &dyn Store,
    ) -> Result<StoredHeads, BuildError> {
        let content = Content { bytes: clustered.heads_bytes, from: 0, hash: &clustered.heads_hash };
        let mut heads = read_checked(scratch, HEADS, content)?;
        let row_bytes = params.head_row_bytes();
        let mut centers = heads.split_off(clustered.heads as usize * row_bytes);
        let ends = centers.split_off(clustered.blocks as usize * row_bytes);
        let ends = ends.as_chunks().0.iter().map(|&end| u32::from_le_bytes(end)).collect();
        Ok(StoredHeads { heads, centers, ends })
    }

    pub(super) fn blocks(&self, params: &Params) -> HeadBlocks<'_> {
        let (dtype, dim) = (params.head_dtype(), params.head_dim());
        let rows = |bytes| Rows { dtype, dim, bytes };
        HeadBlocks { heads: rows(&self.heads), ends: &self.ends, centers: rows(&self.centers) }
    }

    /// Numbers of a part's rows by the block of their leaf, blocks ascending.
    pub(super) fn rows_by_block(&self, leaves: &[u8]) -> Vec<(usize, Vec<u32>)> {
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
