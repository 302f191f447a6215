//! Principal axes of residuals.
use nalgebra::{DMatrix, SymmetricEigen};

use super::pool::on_this_pool;
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
    let mut sums = ProductSums::new(dim, dim);
    for rows in residuals.chunks(DIM_MAX * dim) {
        let columns = transposed(rows, dim);
        sums.add(&columns, &columns);
    }
    DMatrix::from_fn(dim, dim, |i, j| {
        // Products of the two orders may be rounded differently.
        0.5 * (sums.sums[i * dim + j] + sums.sums[j * dim + i]) / count.max(1) as f64
    })
}

/// The products of the columns of two matrices of `n` rows. Each is given with its number of columns. Products with the first column of the
/// left one come first.
pub(super) fn products_of_columns(left: (&[f32], usize), right: (&[f32], usize)) -> Vec<f64> {
    let mut sums = ProductSums::new(left.1, right.1);
    for (left_rows, right_rows) in left.0.chunks(DIM_MAX * left.1).zip(right.0.chunks(DIM_MAX * right.1)) {
        sums.add(&transposed(left_rows, left.1), &transposed(right_rows, right.1));
    }
    sums.sums
}

/// Sums of the products of columns.
struct ProductSums {
    left: usize,
    sums: Vec<f64>,
    products: Vec<f32>,
}

impl ProductSums {
    /// Of two matrices with these numbers of columns.
    fn new(left: usize, right: usize) -> ProductSums {
        ProductSums { left, sums: vec![0.0; left * right], products: vec![0.0; left * right] }
    }

    /// Adds those of some rows, whose columns lie back to back.
    fn add(&mut self, left: &[f32], right: &[f32]) {
        let kernel = BlockKernel::new(DType::F32, left.len() / self.left);
        let left = kernel.pack_left(bytemuck::cast_slice(left));
        let right = kernel.pack_right(bytemuck::cast_slice(right));
        // Each value depends on its two columns alone.
        let width = right.len();
        on_this_pool(&mut self.products, width, |first, products| {
            let left = left.range(first..first + products.len() / width);
            kernel.scores(Operation::InnerProduct, left, right.all(), products);
        });
        self.sums.iter_mut().zip(&self.products).for_each(|(sum, &x)| *sum += f64::from(x));
    }
}

/// The columns of a matrix, given row by row, back to back.
pub(super) fn transposed(rows: &[f32], columns: usize) -> Vec<f32> {
    /// Rows that are copied together: a cache line of each column.
    const TOGETHER: usize = 16;
    let count = rows.len() / columns;
    let mut transposed = vec![0.0; count * columns];
    for (number, rows) in rows.chunks(TOGETHER * columns).enumerate() {
        let first = number * TOGETHER;
        for column in 0..columns {
            let of_column = transposed[column * count + first..].iter_mut();
            of_column.zip(rows.iter().skip(column).step_by(columns)).for_each(|(to, &from)| *to = from);
        }
    }
    transposed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_adds_up_what_one_thread_does() {
        let residuals: Vec<f32> = (0..700 * 33).map(|at| ((at * 7919 % 1009) as f32).sqrt()).collect();
        let alone = second_moment(33, &residuals);
        for threads in [1, 2, 3, 40] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            assert_eq!(pool.install(|| second_moment(33, &residuals)), alone, "{threads} threads");
        }
    }

    #[test]
    fn columns_lie_back_to_back() {
        for (count, columns) in [(0, 3), (1, 1), (15, 2), (16, 5), (17, 3), (50, 7)] {
            let rows: Vec<f32> = (0..count * columns).map(|at| at as f32).collect();
            let expected = (0..columns).flat_map(|column| (0..count).map(move |row| row * columns + column));
            assert!(
                transposed(&rows, columns).into_iter().eq(expected.map(|at| at as f32)),
                "{count} x {columns}"
            );
        }
    }

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
