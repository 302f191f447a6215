//! Principal axes of residuals.
use nalgebra::{DMatrix, SymmetricEigen};

use crate::kernels::{BlockKernel, Operation};
use crate::{DIM_MAX, DType};

/// Largest dimension whose principal axes are looked for: time and memory grow with its cube and square.
pub const AXES_DIM_MAX: usize = 2048;

/// Rows of the axes by falling variance, and their variances.
pub(super) fn principal_axes(dim: usize, residuals: &[f32]) -> (DMatrix<f64>, Vec<f64>) {
    let eigen = SymmetricEigen::new(second_moment(dim, residuals));
    let mut order: Vec<usize> = (0..dim).collect();
    order.sort_by(|&a, &b| eigen.eigenvalues[b].total_cmp(&eigen.eigenvalues[a]).then(a.cmp(&b)));
    let axes = DMatrix::from_fn(dim, dim, |i, j| eigen.eigenvectors[(j, order[i])]);
    (axes, order.iter().map(|&i| eigen.eigenvalues[i].max(0.0)).collect())
}

/// The mean of the products of the elements of rows with each other.
pub(super) fn second_moment(dim: usize, residuals: &[f32]) -> DMatrix<f64> {
    let count = residuals.len() / dim;
    let covariance = products_of_columns((residuals, dim), (residuals, dim));
    DMatrix::from_fn(dim, dim, |i, j| {
        // Products of the two orders may be rounded differently.
        0.5 * (covariance[i * dim + j] + covariance[j * dim + i]) / count.max(1) as f64
    })
}

/// The products of the columns of two matrices of `n` rows. Each is given with its number of columns. Products with the first column of the
/// left one come first.
pub(super) fn products_of_columns(left: (&[f32], usize), right: (&[f32], usize)) -> Vec<f64> {
    let mut sums = vec![0.0_f64; left.1 * right.1];
    let mut products = vec![0.0_f32; sums.len()];
    for (left_rows, right_rows) in left.0.chunks(DIM_MAX * left.1).zip(right.0.chunks(DIM_MAX * right.1)) {
        let kernel = BlockKernel::new(DType::F32, left_rows.len() / left.1);
        let (left_columns, right_columns) = (transposed(left_rows, left.1), transposed(right_rows, right.1));
        let left = kernel.pack_left(bytemuck::cast_slice(&left_columns));
        let right = kernel.pack_right(bytemuck::cast_slice(&right_columns));
        kernel.scores(Operation::InnerProduct, left.all(), right.all(), &mut products);
        sums.iter_mut().zip(&products).for_each(|(sum, &x)| *sum += f64::from(x));
    }
    sums
}

/// The columns of a matrix, given row by row, back to back.
pub(super) fn transposed(rows: &[f32], columns: usize) -> Vec<f32> {
    (0..columns).flat_map(|column| rows.iter().skip(column).step_by(columns)).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_are_found() {
        // Two directions of a plane in three dimensions.
        let mut residuals = Vec::new();
        for i in 0..64 {
            let (a, b) = ((i % 8) as f32 - 3.5, ((i / 8) as f32 - 3.5) * 0.25);
            residuals.extend([a + b, a - b, 0.0]);
        }
        let (axes, variances) = principal_axes(3, &residuals);
        let half = std::f64::consts::FRAC_1_SQRT_2;
        assert!((axes[(0, 0)].abs() - half).abs() < 1e-6 && axes[(0, 2)].abs() < 1e-6);
        assert!((variances[0] - 16.0 * variances[1]).abs() < 1e-3 && variances[2] < 1e-6);
    }
}
