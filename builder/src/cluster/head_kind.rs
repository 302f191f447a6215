//! What stands for a list among the heads.
use spandrel_index::kernels::{Operation, PairKernel};
use spandrel_names::named;

use crate::Rows;
use crate::rows::MeanSums;

/// What stands for a list among the heads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeadKind {
    /// The mean of its rows, rounded to the element type.
    Means,
    /// The row nearest to that mean.
    Vectors,
}

named! { HeadKind, "heads", Means => "means", Vectors => "vectors" }

/// The head of a list of at least one row.
pub fn representative(rows: Rows<'_>, kind: HeadKind) -> Vec<u8> {
    let picks: Vec<u32> = (0..rows.len() as u32).collect(); // CAST: a list has fewer than 2^32 rows
    let mut head = vec![0; rows.row_bytes()];
    HeadMaker::new(rows, kind).write_head(&picks, &mut head);
    head
}

/// Makes heads out of rows of one set.
pub(super) struct HeadMaker<'a> {
    rows: Rows<'a>,
    kind: HeadKind,
    sums: MeanSums,
    pair: PairKernel,
}

impl<'a> HeadMaker<'a> {
    pub(super) fn new(rows: Rows<'a>, kind: HeadKind) -> HeadMaker<'a> {
        let pair = PairKernel::new(Operation::SquaredL2, rows.dtype, rows.dim);
        HeadMaker { rows, kind, sums: MeanSums::new(rows.dtype, rows.dim), pair }
    }

    /// Writes the head of the rows `picks`, of which there is at least one.
    pub(super) fn write_head(&mut self, picks: &[u32], head: &mut [u8]) {
        self.sums.clear();
        picks.iter().for_each(|&pick| self.sums.add(self.rows.row(pick as usize)));
        self.sums.write_mean(head);
        if self.kind == HeadKind::Vectors {
            // The lowest row number among equals.
            let mut best = (f32::INFINITY, u32::MAX);
            for &pick in picks {
                let distance = self.pair.score(head, self.rows.row(pick as usize));
                if distance < best.0 || (distance == best.0 && pick < best.1) {
                    best = (distance, pick);
                }
            }
            head.copy_from_slice(self.rows.row(best.1 as usize));
        }
    }
}

#[cfg(test)]
mod tests {
    use spandrel_index::DType;

    use super::*;

    #[test]
    fn means_and_members() {
        let rows = Rows { dtype: DType::U8, dim: 2, bytes: &[0, 0, 4, 4, 6, 7] };
        assert_eq!(representative(rows, HeadKind::Means), [3, 4]);
        assert_eq!(representative(rows, HeadKind::Vectors), [4, 4]);
        assert_eq!("vectors".parse(), Ok(HeadKind::Vectors));
        assert!("medians".parse::<HeadKind>().is_err());
    }
}
