//! The centroid nearest to each of many rows.
use crate::DType;
use crate::kernels::{BlockKernel, Operation, RightRows};

/// Rows compared at once.
const ROWS: usize = 512;
/// Scores looked at side by side.
const LANES: usize = 16;

/// Centroids of one sub-quantiser, ready to be compared with.
pub(super) struct Nearest {
    kernel: BlockKernel,
    centroids: RightRows,
    width: usize,
}

impl Nearest {
    /// Of 16 or 256 centroids of `width` dimensions, back to back.
    pub(super) fn new(centroids: &[f32], width: usize) -> Nearest {
        let kernel = BlockKernel::new(DType::F32, width);
        let centroids = kernel.pack_right(bytemuck::cast_slice(centroids));
        Nearest { kernel, centroids, width }
    }

    /// Tells `take` the number of the nearest centroid of each row, of equally near ones the first, and its squared
    /// distance.
    pub(super) fn each(&self, rows: &[f32], mut take: impl FnMut(u8, f32)) {
        let entries = self.centroids.len();
        let mut scores = vec![0.0; ROWS.min(rows.len() / self.width) * entries];
        for rows in rows.chunks(ROWS * self.width) {
            let count = rows.len() / self.width;
            let left = self.kernel.pack_left(bytemuck::cast_slice(rows));
            let scores = &mut scores[..count * entries];
            self.kernel.scores(Operation::SquaredL2, left.all(), self.centroids.all(), scores);
            for scores in scores.chunks_exact(entries) {
                let nearest = smallest(scores);
                take(nearest, scores[usize::from(nearest)]);
            }
        }
    }
}

/// The place of the first of the smallest of up to 256 scores, a multiple of [`LANES`].
fn smallest(scores: &[f32]) -> u8 {
    let mut least = [f32::INFINITY; LANES];
    for scores in scores.as_chunks::<LANES>().0 {
        for (least, &score) in least.iter_mut().zip(scores) {
            *least = if score < *least { score } else { *least };
        }
    }
    let least = least.into_iter().fold(f32::INFINITY, f32::min);
    scores.iter().position(|&score| score == least).unwrap_or(0) as u8 // CAST: at most 256 scores
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
            Nearest::new(&centroids, width).each(&rows, |number, _| found.push(number));
            assert_eq!(found.len(), 700);
            for (row, number) in rows.chunks(width).zip(found) {
                let distances: Vec<f32> = centroids.chunks(width).map(|c| distance(c, row)).collect();
                let least = distances.iter().copied().fold(f32::INFINITY, f32::min);
                assert!(distances[usize::from(number)] <= least + 1e-3);
            }
        }
    }
}
