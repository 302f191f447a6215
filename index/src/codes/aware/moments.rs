//! What queries are like, and the map under which codes lose least of what they see.
use nalgebra::{Cholesky, DMatrix, SymmetricEigen};

use crate::DType;
use crate::codes::axes::second_moment;
use crate::codes::rotation::{DenseRotation, Rotation};
use crate::kernels::{BlockKernel, Operation};

use super::map::QueryMap;

/// Added to the variances of residuals in every direction, as a share of their mean: where residuals do not vary there is nothing to
/// code, and nothing to divide by.
const RESIDUAL_RIDGE: f64 = 1e-3;

/// The second moment of queries as seen from where estimates are measured from.
#[derive(Debug, Clone, PartialEq)]
pub struct QueryMoments {
    /// `E[v v^T]`.
    second: DMatrix<f64>,
    /// The point that queries are seen from; that is the head of each list without one.
    anchor: Option<Vec<f32>>,
}

/// How residuals are mapped before they are rotated, and queries with them.
#[derive(Debug, Clone)]
pub(in crate::codes) struct Weighting {
    /// `T`.
    of_vectors: DMatrix<f64>,
    /// `T^-T`.
    of_queries: DMatrix<f64>,
    second: DMatrix<f64>,
    anchor: Option<Vec<f32>>,
}

impl QueryMoments {
    /// Those of `rows`, queries of `dim` elements less what they are seen from, back to back.
    ///
    /// # Panics
    /// When the anchor is of another dimension.
    pub fn of(rows: &[f32], dim: usize, anchor: Option<Vec<f32>>) -> QueryMoments {
        assert!(anchor.as_ref().is_none_or(|anchor| anchor.len() == dim));
        QueryMoments { second: second_moment(dim, rows), anchor }
    }

    /// The point that queries are seen from, if that is not the head of each list.
    pub fn anchor(&self) -> Option<&[f32]> {
        self.anchor.as_deref()
    }

    /// With `ridge` times the mean variance added in every direction: queries that vary in few directions leave the others unknown, not
    /// free.
    #[must_use]
    pub fn with_ridge(mut self, ridge: f64) -> QueryMoments {
        let dim = self.second.nrows();
        let added = ridge * self.second.trace() / dim as f64; // CAST: exact
        self.second += DMatrix::identity(dim, dim) * added;
        self
    }

    /// For codes that lose the same in all directions. None where the moment has no inverse.
    pub(in crate::codes) fn whitening(&self) -> Option<Weighting> {
        Weighting::new(&self.second, self.second.clone(), self.anchor.clone())
    }

    /// For codes that lose in proportion to the length of what is coded, as `residuals` are spread. None where a moment has no inverse.
    pub(in crate::codes) fn balancing(&self, residuals: &[f32]) -> Option<Weighting> {
        let (dim, second) = (self.second.nrows(), self.second.clone());
        let of_residuals = QueryMoments::of(residuals, dim, None).with_ridge(RESIDUAL_RIDGE).second;
        let (root, inverse) = roots(of_residuals)?;
        let (between, _) = roots(&root * &second * &root)?;
        Weighting::new(&(&inverse * between * &inverse), second, self.anchor.clone())
    }
}

/// The square root of a symmetric matrix and its inverse; none unless all of its variances are above 0.
fn roots(matrix: DMatrix<f64>) -> Option<(DMatrix<f64>, DMatrix<f64>)> {
    let symmetric = 0.5 * (&matrix + matrix.transpose());
    if !symmetric.iter().all(|x| x.is_finite()) {
        return None;
    }
    let eigen = SymmetricEigen::new(symmetric);
    if !eigen.eigenvalues.iter().all(|&x| x > 0.0) {
        return None;
    }
    let root = eigen.eigenvalues.map(f64::sqrt);
    let of = |diagonal: nalgebra::DVector<f64>| {
        &eigen.eigenvectors * DMatrix::from_diagonal(&diagonal) * eigen.eigenvectors.transpose()
    };
    Some((of(root.clone()), of(root.map(f64::recip))))
}

impl Weighting {
    /// The map with `T^T T = metric`, in a scale at which queries keep their mean squared length.
    fn new(metric: &DMatrix<f64>, second: DMatrix<f64>, anchor: Option<Vec<f32>>) -> Option<Weighting> {
        let symmetric = 0.5 * (metric + metric.transpose());
        if !symmetric.iter().chain(second.iter()).all(|x| x.is_finite()) {
            return None;
        }
        let lower = Cholesky::new(symmetric)?.l();
        let of_queries = lower.solve_lower_triangular(&DMatrix::identity(lower.nrows(), lower.nrows()))?;
        let seen = (&of_queries * &second * of_queries.transpose()).trace();
        let scale = (seen / second.trace()).sqrt();
        if !(scale.is_finite() && scale > 0.0) {
            return None;
        }
        Some(Weighting {
            of_vectors: lower.transpose() * scale,
            of_queries: of_queries / scale,
            second,
            anchor,
        })
    }

    /// The point at which estimates are exact, if that is not the head of each list.
    pub(in crate::codes) fn anchor(&self) -> Option<&[f32]> {
        self.anchor.as_deref()
    }

    /// Maps residuals lying back to back.
    pub(in crate::codes) fn map(&self, residuals: &[f32]) -> Vec<f32> {
        const ROWS: usize = 4096;
        let dim = self.of_vectors.nrows();
        let rows: Vec<f32> = self.of_vectors.transpose().iter().map(|&x| x as f32).collect(); // CAST: rounds
        let kernel = BlockKernel::new(DType::F32, dim);
        let matrix = kernel.pack_right(bytemuck::cast_slice(&rows));
        let mut mapped = vec![0.0; residuals.len()];
        for (rows, out) in residuals.chunks(ROWS * dim).zip(mapped.chunks_mut(ROWS * dim)) {
            let left = kernel.pack_left(bytemuck::cast_slice(rows));
            kernel.scores(Operation::InnerProduct, left.all(), matrix.all(), out);
        }
        mapped
    }

    /// The map followed by a rotation, whose rows lie back to back: what vectors go through, and what queries do.
    pub(in crate::codes) fn rotated(&self, rotation: &[f32]) -> (Rotation, QueryMap) {
        let dim = self.of_vectors.nrows();
        let rotation =
            DMatrix::from_row_iterator(rotation.len() / dim, dim, rotation.iter().map(|&x| f64::from(x)));
        let rows = |of: &DMatrix<f64>| -> Vec<f64> {
            (&rotation * of).transpose().iter().copied().collect() // Columns of the transpose: rows.
        };
        let [vectors, queries] =
            [&self.of_vectors, &self.of_queries].map(|of| DenseRotation::scaled(&rows(of), dim));
        let map = QueryMap { rotation: Rotation::Dense(queries), is_anchored: self.anchor.is_some() };
        (Rotation::Dense(vectors), map)
    }

    /// The share of a mapped and rotated query's squared length that is expected in each dimension.
    pub(in crate::codes) fn shares(&self, map: &QueryMap) -> Vec<f64> {
        let Rotation::Dense(rotation) = &map.rotation else { return Vec::new() };
        let (dim, rows) = (self.second.nrows(), rotation.rows());
        let rows = DMatrix::from_row_iterator(rows.len() / dim, dim, rows.into_iter().map(f64::from));
        let seen = &rows * &self.second;
        let squares: Vec<f64> =
            seen.row_iter().zip(rows.row_iter()).map(|(a, b)| a.dot(&b).max(0.0)).collect();
        let all: f64 = squares.iter().sum();
        let even = 1.0 / squares.len() as f64; // CAST: exact
        squares.into_iter().map(|x| if all > 0.0 { x / all } else { even }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two dimensions that vary alike, and a third that varies little.
    fn rows(scale: [f32; 3]) -> Vec<f32> {
        let at = |i: usize, by: usize| (i / by % 5) as f32 - 2.0;
        (0..125).flat_map(|i| [at(i, 1) * scale[0], at(i, 5) * scale[1], at(i, 25) * scale[2]]).collect()
    }

    #[test]
    fn vectors_and_queries_keep_their_products() {
        let moments = QueryMoments::of(&rows([1.0, 5.0, 0.1]), 3, None).with_ridge(0.01);
        let residuals = rows([2.0, 0.5, 1.0]);
        for weighting in [moments.whitening().unwrap(), moments.balancing(&residuals).unwrap()] {
            let product = weighting.of_vectors.transpose() * &weighting.of_queries;
            assert!((product - DMatrix::identity(3, 3)).norm() < 1e-9);
            let seen = &weighting.of_queries * &weighting.second * weighting.of_queries.transpose();
            assert!((seen.trace() / weighting.second.trace() - 1.0).abs() < 1e-9);
        }
    }

    #[test]
    fn whitened_queries_are_spread_evenly_and_balanced_ones_as_residuals_are() {
        let moments = QueryMoments::of(&rows([1.0, 5.0, 0.1]), 3, None);
        let white = moments.whitening().unwrap();
        let seen = &white.of_queries * &white.second * white.of_queries.transpose();
        let even = white.second.trace() / 3.0;
        assert!((&seen - DMatrix::identity(3, 3) * even).norm() < 1e-6 * even, "{seen}");
        let residuals = rows([2.0, 0.5, 1.0]);
        let balanced = moments.balancing(&residuals).unwrap();
        let seen = &balanced.of_queries * &balanced.second * balanced.of_queries.transpose();
        let mapped = QueryMoments::of(&balanced.map(&residuals), 3, None).second;
        let ratio = seen.trace() / mapped.trace();
        assert!((&seen - &mapped * ratio).norm() < 1e-2 * seen.norm(), "{seen} and {mapped}");
    }

    #[test]
    fn queries_of_low_rank_need_a_ridge() {
        let flat = QueryMoments::of(&rows([1.0, 0.0, 0.0]), 3, None);
        assert!(flat.whitening().is_none());
        assert!(flat.balancing(&rows([1.0; 3])).is_none());
        let ridged = flat.with_ridge(0.01);
        assert!(ridged.whitening().is_some() && ridged.balancing(&rows([1.0, 1.0, 0.0])).is_some());
        let none = QueryMoments::of(&[0.0; 9], 3, None).with_ridge(0.1);
        assert!(none.whitening().is_none() && none.balancing(&rows([1.0; 3])).is_none());
        assert!(QueryMoments::of(&[1.0, f32::MAX, f32::NAN], 3, None).whitening().is_none());
    }
}
