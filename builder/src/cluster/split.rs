//! Balanced splitting of one set of rows.
use spandrel_index::kernels::{Operation, PairKernel};

use crate::rows::{MeanSums, Rows};

/// Splits rows into `parts` pieces of equal size, give or take one, each of near rows.
///
/// Recursive 2-means with fixed sizes, `rounds` rounds for each cut. Rows that are equally far from both centres, such as identical ones,
/// are cut in their order. Every piece lists its row numbers in ascending order; there are fewer pieces than
/// `parts` when there are fewer rows.
pub fn split(rows: Rows<'_>, parts: usize, rounds: usize) -> Vec<Vec<u32>> {
    let len = u32::try_from(rows.len()).expect("a list has fewer than 2^32 rows");
    let mut pieces = Vec::new();
    if len > 0 {
        let mut cutter = Cutter::new(rows, rounds);
        cutter.split_picks((0..len).collect(), parts.clamp(1, rows.len()), &mut pieces);
    }
    pieces
}

/// Cuts sets of rows in two.
pub(super) struct Cutter<'a> {
    rows: Rows<'a>,
    kernel: PairKernel,
    rounds: usize,
    sums: MeanSums,
    keyed: Vec<(f32, u32)>,
}

impl<'a> Cutter<'a> {
    pub(super) fn new(rows: Rows<'a>, rounds: usize) -> Cutter<'a> {
        let kernel = PairKernel::new(Operation::SquaredL2, rows.dtype, rows.dim);
        Cutter { rows, kernel, rounds, sums: MeanSums::new(rows.dtype, rows.dim), keyed: Vec::new() }
    }

    fn split_picks(&mut self, mut picks: Vec<u32>, parts: usize, pieces: &mut Vec<Vec<u32>>) {
        if parts == 1 {
            picks.sort_unstable();
            pieces.push(picks);
            return;
        }
        let left_parts = parts / 2;
        let at = picks.len() * left_parts / parts;
        self.sort_for_cut(&mut picks, at);
        let right = picks.split_off(at);
        self.split_picks(picks, left_parts, pieces);
        self.split_picks(right, parts - left_parts, pieces);
    }

    /// Orders `picks` so that the first `at` of them are one part of a 2-means clustering of those sizes.
    pub(super) fn sort_for_cut(&mut self, picks: &mut [u32], at: usize) {
        let mut ends = self.far_rows(picks);
        for _ in 0..self.rounds {
            self.sort_by_nearness(picks, &ends);
            let next = [self.mean(&picks[..at]), self.mean(&picks[at..])];
            if next == ends {
                return;
            }
            ends = next;
        }
        self.sort_by_nearness(picks, &ends);
    }

    /// Cuts `picks` near their middle, keeping equal rows together; returns where, none when all are equal.
    pub(super) fn cut_distinct(&mut self, picks: &mut [u32]) -> Option<usize> {
        let first = self.rows.row(*picks.first()? as usize);
        if picks.iter().all(|&pick| self.rows.row(pick as usize) == first) {
            return None;
        }
        let middle = picks.len() / 2;
        self.sort_for_cut(picks, middle);
        // Equal rows have equal keys, so a place where the key changes parts no equal rows.
        let changes = (1..picks.len()).filter(|&at| self.keyed[at - 1].0 != self.keyed[at].0);
        if let Some(at) = changes.min_by_key(|&at| (at.abs_diff(middle), at)) {
            return Some(at);
        }
        let (equal, others): (Vec<u32>, Vec<u32>) =
            picks.iter().partition(|&&pick| self.rows.row(pick as usize) == first);
        picks[..equal.len()].copy_from_slice(&equal);
        picks[equal.len()..].copy_from_slice(&others);
        Some(equal.len())
    }

    fn far_rows(&self, picks: &[u32]) -> [Vec<u8>; 2] {
        let farthest = |from: u32| {
            let mut best = (f32::NEG_INFINITY, from);
            for &pick in picks {
                let distance = self.kernel.score(self.rows.row(from as usize), self.rows.row(pick as usize));
                if distance > best.0 {
                    best = (distance, pick);
                }
            }
            best.1
        };
        let first = farthest(picks[0]);
        let second = farthest(first);
        [self.rows.row(first as usize).to_vec(), self.rows.row(second as usize).to_vec()]
    }

    fn sort_by_nearness(&mut self, picks: &mut [u32], [a, b]: &[Vec<u8>; 2]) {
        self.keyed.clear();
        for &pick in picks.iter() {
            let row = self.rows.row(pick as usize);
            self.keyed.push((self.kernel.score(row, a) - self.kernel.score(row, b), pick));
        }
        self.keyed.sort_unstable_by(|x, y| x.0.total_cmp(&y.0).then(x.1.cmp(&y.1)));
        for (pick, &(_, to)) in picks.iter_mut().zip(&self.keyed) {
            *pick = to;
        }
    }

    /// The rounded mean of some rows; of none, the zero row.
    fn mean(&mut self, picks: &[u32]) -> Vec<u8> {
        let mut mean = vec![0; self.rows.row_bytes()];
        self.sums.clear();
        for &pick in picks {
            self.sums.add(self.rows.row(pick as usize));
        }
        if !picks.is_empty() {
            self.sums.write_mean(&mut mean);
        }
        mean
    }
}

#[cfg(test)]
mod tests {
    use spandrel_index::DType;

    use super::*;

    #[test]
    fn pieces_are_near_and_equally_long() {
        let bytes: Vec<u8> = (0..99_u8).map(|at| (at % 3) * 80 + at / 10).collect();
        let rows = Rows { dtype: DType::U8, dim: 1, bytes: &bytes };
        let pieces = split(rows, 3, 4);
        assert_eq!(pieces.iter().map(Vec::len).collect::<Vec<_>>(), [33, 33, 33]);
        for piece in pieces {
            assert!(piece.iter().all(|&at| at % 3 == piece[0] % 3), "{piece:?}");
        }
    }

    #[test]
    fn identical_rows_are_cut_in_order() {
        let bytes = [5_u8; 20];
        let rows = Rows { dtype: DType::U8, dim: 2, bytes: &bytes };
        assert_eq!(split(rows, 3, 4), [vec![0, 1, 2], vec![3, 4, 5], vec![6, 7, 8, 9]]);
        assert_eq!(split(rows, 100, 4).len(), 10);
        assert!(split(rows.with_bytes(&[]), 2, 4).is_empty());
    }
}
