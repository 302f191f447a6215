//! Which blocks lie around a block.
use rayon::ThreadPool;
use rayon::prelude::*;
use spandrel_index::kernels::{BlockKernel, Operation};

use super::nearest::NearestScratch;
use crate::Rows;

/// Blocks whose neighbours are found together.
const CHUNK_BLOCKS: usize = 64;
/// Centres scored at a time.
const CHUNK_CENTERS: usize = 2048;

/// For each block the `count` blocks with the nearest centres, ascending by distance; itself comes first.
///
/// `centers` holds one row a block. Takes `blocks^2` distances as matrix products and, for each thread, two
/// chunks of scores.
pub fn neighbour_blocks(centers: Rows<'_>, count: usize, pool: &ThreadPool) -> Vec<Vec<u32>> {
    let count = count.clamp(1, centers.len().max(1));
    let kernel = BlockKernel::new(centers.dtype, centers.dim);
    let right = kernel.pack_right(centers.bytes);
    let chunk_bytes = CHUNK_BLOCKS * centers.row_bytes();
    pool.install(|| {
        let chunks = centers.bytes.par_chunks(chunk_bytes).enumerate();
        let found = chunks.map_init(NearestScratch::default, |scratch, (chunk, rows)| {
            let left = kernel.pack_left(rows);
            let mut best: Vec<Vec<(f32, u32)>> = vec![Vec::new(); left.len()];
            let mut scores = Vec::new();
            for start in (0..right.len()).step_by(CHUNK_CENTERS) {
                let end = right.len().min(start + CHUNK_CENTERS);
                scores.clear();
                scores.resize(left.len() * (end - start), 0.0);
                kernel.scores(Operation::SquaredL2, left.all(), right.range(start..end), &mut scores);
                for (best, scores) in best.iter_mut().zip(scores.chunks_exact(end - start)) {
                    let nearest = scratch.nearest(scores, count);
                    // CAST: blocks are numbered by u32
                    best.extend(nearest.iter().map(|&(distance, at)| (distance, at + start as u32)));
                    best.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
                    best.truncate(count);
                }
            }
            let first = (chunk * CHUNK_BLOCKS) as u32; // CAST: blocks are numbered by u32
            best.into_iter().zip(first..).map(|(best, own)| own_first(&best, own, count)).collect::<Vec<_>>()
        });
        found.flatten_iter().collect()
    })
}

fn own_first(nearest: &[(f32, u32)], own: u32, count: usize) -> Vec<u32> {
    let mut blocks = vec![own];
    blocks.extend(nearest.iter().map(|&(_, at)| at).filter(|&at| at != own));
    blocks.truncate(count);
    blocks
}

#[cfg(test)]
mod tests {
    use spandrel_index::DType;

    use super::*;

    #[test]
    fn neighbours_on_a_line_are_the_nearest() {
        let bytes: Vec<u8> = (0..5000).flat_map(|at| (at as f32).to_le_bytes()).collect();
        let centers = Rows { dtype: DType::F32, dim: 1, bytes: &bytes };
        let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
        let found = neighbour_blocks(centers, 3, &pool);
        assert_eq!(found.len(), 5000);
        assert_eq!(found[0], [0, 1, 2]);
        assert_eq!(found[2048], [2048, 2047, 2049]);
        assert_eq!(neighbour_blocks(centers.with_bytes(&bytes[..8]), 9, &pool), [[0, 1], [1, 0]]);
        let same = vec![0_u8; 12];
        assert_eq!(neighbour_blocks(centers.with_bytes(&same), 1, &pool), [[0], [1], [2]]);
    }
}
