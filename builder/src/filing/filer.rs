//! All heads of an index, ready to file the rows of any block.
use rayon::ThreadPool;
use spandrel_index::kernels::BlockKernel;

use super::{CandidateHeads, Filed, FilingParams, FilingScratch, file_rows, neighbour_blocks};
use crate::cluster::{Block, Rows};

/// Files the rows of a block under the heads of that block and of the blocks around it.
#[derive(Debug)]
pub struct Filer<'a> {
    heads: Rows<'a>,
    blocks: &'a [Block],
    neighbours: Vec<Vec<u32>>,
    kernel: BlockKernel,
    params: FilingParams,
}

impl<'a> Filer<'a> {
    /// Finds the `around` nearest blocks of every block, itself counted.
    ///
    /// `blocks` cover `heads` in order, as [`crate::cluster::cluster`] returns them or joined from several parts
    /// with their numbers moved up. Takes 4 bytes for each neighbour of each block.
    pub fn new(
        heads: Rows<'a>,
        blocks: &'a [Block],
        around: usize,
        params: FilingParams,
        pool: &ThreadPool,
    ) -> Filer<'a> {
        let centers: Vec<u8> = blocks.iter().flat_map(|block| block.center.iter().copied()).collect();
        let neighbours = neighbour_blocks(heads.with_bytes(&centers), around, pool);
        let kernel = BlockKernel::new(heads.dtype, heads.dim);
        Filer { heads, blocks, neighbours, kernel, params }
    }

    /// Files the rows whose leaf lies in one block, appending to `out` as [`file_rows`] does.
    ///
    /// Runs on the calling thread. Preparing the candidates costs as much as filing as many rows as there
    /// are candidates, so a block's rows should come in few calls.
    pub fn file_block(
        &self,
        block: usize,
        rows: Rows<'_>,
        scratch: &mut FilingScratch,
        out: &mut Vec<Filed>,
    ) {
        let mut numbers: Vec<u32> =
            self.neighbours[block].iter().flat_map(|&at| self.blocks[at as usize].heads.clone()).collect();
        numbers.sort_unstable();
        let mut bytes = Vec::new();
        self.heads.gather(&numbers, &mut bytes);
        let heads = CandidateHeads::new(&self.kernel, numbers, self.heads.with_bytes(&bytes), &self.params);
        file_rows(&self.kernel, rows, &heads, &self.params, scratch, out);
    }
}
