//! Singular values of scores on anchor items, and inverses of different strength.
use std::fmt;

use nalgebra::{DMatrix, SymmetricEigen};

use super::error::CurError;
use crate::watch::Watch;

/// Squared singular values below this share of the largest are rounding of scores in single precision.
const ROUNDING: f64 = 1e-12;

/// How small singular values are kept from making noise.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Strength {
    /// `s / (s^2 + ridge m)` for `1 / s`, where `m` is the mean of all `s^2`. With 0 it is the plain pseudo-inverse.
    Ridge(f64),
    /// The largest singular values alone.
    Rank(usize),
}

impl fmt::Display for Strength {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Strength::Ridge(ridge) => write!(f, "ridge {ridge}"),
            Strength::Rank(rank) => write!(f, "rank {rank}"),
        }
    }
}

/// Scores of anchor queries on anchor items, decomposed: `pinv = left x diag(1 / s^2) x right`.
pub(super) struct Spectrum {
    /// A row for each anchor item.
    left: DMatrix<f64>,
    /// A column for each anchor query.
    right: DMatrix<f64>,
    /// Falling.
    squared: Vec<f64>,
}

impl Spectrum {
    /// Of scores with a row for each anchor query. Looks whether it is to stop at its begin and end, for the solver cannot.
    ///
    /// # Errors
    /// [`CurError::NoScores`], [`CurError::Stopped`].
    pub(super) fn of(scores: &DMatrix<f64>, watch: Watch<'_>) -> Result<Spectrum, CurError> {
        watch.check()?;
        let transposed = scores.transpose();
        let is_tall = scores.nrows() >= scores.ncols();
        let moments = if is_tall { &transposed * scores } else { scores * &transposed };
        let eigen = SymmetricEigen::new(moments);
        watch.check()?;
        let side = eigen.eigenvalues.len();
        let mut order: Vec<usize> = (0..side).collect();
        order.sort_by(|&a, &b| eigen.eigenvalues[b].total_cmp(&eigen.eigenvalues[a]).then(a.cmp(&b)));
        let axes = DMatrix::from_fn(side, side, |i, j| eigen.eigenvectors[(i, order[j])]);
        let squared: Vec<f64> = order.iter().map(|&i| eigen.eigenvalues[i].max(0.0)).collect();
        if squared.first().is_none_or(|&largest| largest <= 0.0) {
            return Err(CurError::NoScores);
        }
        // With `A = U S V^T`, `V S^-2 V^T A^T` and `A^T U S^-2 U^T` are both its pseudo-inverse.
        let (left, right) = match is_tall {
            true => (axes.clone(), axes.transpose() * transposed),
            false => (transposed * &axes, axes.transpose()),
        };
        Ok(Spectrum { left, right, squared })
    }

    /// Singular values that are more than rounding.
    pub(super) fn rank(&self) -> usize {
        let least = self.squared.first().map_or(0.0, |largest| largest * ROUNDING);
        self.squared.partition_point(|&squared| squared > least)
    }

    /// What a strength comes to: no more singular values than are more than rounding.
    pub(super) fn used(&self, strength: Strength) -> Strength {
        match strength {
            Strength::Rank(rank) => Strength::Rank(rank.min(self.rank())),
            Strength::Ridge(_) => strength,
        }
    }

    /// Vectors of queries, a row each, with these scores on the anchor items.
    pub(super) fn vectors(&self, scores: &DMatrix<f64>, strength: Strength) -> DMatrix<f64> {
        self.weighted(scores * &self.left, strength)
    }

    /// What turns scores on the anchor items to a vector.
    pub(super) fn inverse(&self, strength: Strength) -> DMatrix<f64> {
        self.weighted(self.left.clone(), strength)
    }

    fn weighted(&self, mut along: DMatrix<f64>, strength: Strength) -> DMatrix<f64> {
        let (rank, ridge) = match self.used(strength) {
            Strength::Rank(rank) => (rank, 0.0),
            Strength::Ridge(ridge) => {
                (self.rank(), ridge * self.squared.iter().sum::<f64>() / self.squared.len() as f64) // CAST: exact
            }
        };
        for (at, (mut column, squared)) in along.column_iter_mut().zip(&self.squared).enumerate() {
            column *= if at < rank { 1.0 / (squared + ridge) } else { 0.0 };
        }
        along * &self.right
    }
}
