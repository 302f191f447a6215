//! What stands for a list among the heads.
use std::fmt;
use std::str::FromStr;

use spandrel_index::kernels::{Operation, PairKernel};

use super::Rows;
use super::rows::MeanSums;

/// What stands for a list among the heads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeadKind {
    /// The mean of its rows, rounded to the element type.
    Means,
    /// The row nearest to that mean.
    Vectors,
}

/// A name that is no kind of head.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown heads '{0}', expected means or vectors")]
pub struct UnknownHeadKind(pub String);

impl HeadKind {
    /// Every kind.
    pub const ALL: [HeadKind; 2] = [HeadKind::Means, HeadKind::Vectors];

    /// The name used on the command line and in manifests.
    pub const fn name(self) -> &'static str {
        match self {
            HeadKind::Means => "means",
            HeadKind::Vectors => "vectors",
        }
    }
}

impl fmt::Display for HeadKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for HeadKind {
    type Err = UnknownHeadKind;

    fn from_str(s: &str) -> Result<HeadKind, UnknownHeadKind> {
        Self::ALL.into_iter().find(|kind| kind.name() == s).ok_or_else(|| UnknownHeadKind(s.to_owned()))
    }
}

/// The head of a list of at least one row.
pub fn representative(rows: Rows<'_>, kind: HeadKind) -> Vec<u8> {
    let mut sums = MeanSums::new(rows.dtype, rows.dim);
    (0..rows.len()).for_each(|at| sums.add(rows.row(at)));
    let mut head = vec![0; rows.row_bytes()];
    sums.write_mean(&mut head);
    if kind == HeadKind::Vectors {
        let kernel = PairKernel::new(Operation::SquaredL2, rows.dtype, rows.dim);
        let (mut best, mut best_score) = (0, f32::INFINITY);
        for at in 0..rows.len() {
            let score = kernel.score(rows.row(at), &head);
            if score < best_score {
                (best, best_score) = (at, score);
            }
        }
        head.copy_from_slice(rows.row(best));
    }
    head
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
