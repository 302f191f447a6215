//! The centroid nearest to each of many rows.
use crate::DType;
use crate::kernels::{BlockKernel, LeftRows, Operation, RightRows, first_at_most, least};

/// Rows compared at once.
const ROWS: usize = 512;

/// Centroids of one sub-quantiser, ready to be compared with.
pub(super) struct NearestCentroid {
    kernel: BlockKernel,
    centroids: RightRows,
}

impl NearestCentroid {
    /// Of 16 or 256 centroids of `width` dimensions, back to back.
    pub(super) fn new(centroids: &[f32], width: usize) -> NearestCentroid {
        let kernel = BlockKernel::new(DType::F32, width);
        let centroids = kernel.pack_right(bytemuck::cast_slice(centroids));
        NearestCentroid { kernel, centroids }
    }

    /// Rows of `width` dimensions, back to back, ready to be compared.
    pub(super) fn pack(rows: &[f32], width: usize) -> LeftRows {
        BlockKernel::new(DType::F32, width).pack_left(bytemuck::cast_slice(rows))
    }

    /// Squared distances of each row to all centroids.
    pub(super) fn distances(&self, rows: &LeftRows, out: &mut [f32]) {
        let entries = self.centroids.len();
        for (first, out) in (0..rows.len()).step_by(ROWS).zip(out.chunks_mut(ROWS * entries)) {
            let rows = rows.range(first..rows.len().min(first + ROWS));
            self.kernel.scores(Operation::SquaredL2, rows, self.centroids.all(), out);
        }
    }

    /// Tells `take` the number of the nearest centroid of each row, of equally near ones the first, and its squared
    /// distance.
    pub(super) fn each(&self, rows: &LeftRows, mut take: impl FnMut(u8, f32)) {
        let entries = self.centroids.len();
        let mut scores = vec![0.0; ROWS.min(rows.len()) * entries];
        for first in (0..rows.len()).step_by(ROWS) {
            let rows = rows.range(first..rows.len().min(first + ROWS));
            let scores = &mut scores[..rows.len() * entries];
            self.kernel.scores(Operation::SquaredL2, rows, self.centroids.all(), scores);
            for scores in scores.chunks_exact(entries) {
                let nearest = first_at_most(scores, least(scores)).unwrap_or_default();
                take(nearest as u8, scores[nearest]); // CAST: up to 256 centroids
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_is_found() {
        for (entries, width) in [(16, 1), (16, 5), (256, 1), (256, 8)] {
            let value = |i: usize| (i * 7919 % 1009) as f32 / 100.0;
            let centroids: Vec<f32> = (0..entries * width).map(value).collect();
            let rows: Vec<f32> = (0..700 * width).map(|i| value(i * 31 + 5)).collect();
            let distance = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f32>();
            let mut found = Vec::new();
            NearestCentroid::new(&centroids, width)
                .each(&NearestCentroid::pack(&rows, width), |number, _| found.push(number));
            assert_eq!(found.len(), 700);
            for (row, number) in rows.chunks(width).zip(found) {
                let distances: Vec<f32> = centroids.chunks(width).map(|c| distance(c, row)).collect();
                let least = distances.iter().copied().fold(f32::INFINITY, f32::min);
                assert!(distances[usize::from(number)] <= least + 1e-3);
            }
        }
    }
}
