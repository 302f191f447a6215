//! Principal components of vectors, by inner product: the axes on which most of their squared length lies.
use anyhow::Result;
use nalgebra::{DMatrix, SymmetricEigen};
use spandrel_datasets::Rows;
use spandrel_index::{DType, VectorSource, for_each_element};

/// The first components.
pub(crate) struct Components {
    /// One a column.
    axes: DMatrix<f64>,
    /// The share of the squared length of all vectors that lies on them.
    pub(crate) share: f64,
}

impl Components {
    /// The first `count` of some rows. The mean is not taken off: an inner product with it would be lost.
    pub(crate) fn of(rows: &Rows, count: usize) -> Components {
        let matrix = matrix(rows);
        let moments = &matrix * matrix.transpose();
        let eigen = SymmetricEigen::new(moments);
        let mut order: Vec<usize> = (0..rows.dim()).collect();
        order.sort_by(|&a, &b| eigen.eigenvalues[b].total_cmp(&eigen.eigenvalues[a]));
        let count = count.min(order.len());
        let axes = DMatrix::from_fn(rows.dim(), count, |i, j| eigen.eigenvectors[(i, order[j])]);
        let kept: f64 = order[..count].iter().map(|&axis| eigen.eigenvalues[axis]).sum();
        Components { axes, share: kept / eigen.eigenvalues.sum() }
    }

    /// Rows as f32 on these axes.
    ///
    /// # Errors
    /// Those of [`Rows::new`].
    pub(crate) fn project(&self, rows: &Rows) -> Result<Rows> {
        let projected = self.axes.transpose() * matrix(rows);
        // A column is a row of the file. CAST: rounds
        let bytes = projected.iter().flat_map(|&value| (value as f32).to_le_bytes()).collect();
        Ok(Rows::new(DType::F32, self.axes.ncols(), bytes)?)
    }
}

/// A vector a column.
fn matrix(rows: &Rows) -> DMatrix<f64> {
    let mut values = Vec::with_capacity(rows.dim() * rows.len() as usize); // CAST: in memory
    for_each_element(rows.dtype(), rows.bytes(), |value| values.push(f64::from(value)));
    DMatrix::from_vec(rows.dim(), rows.len() as usize, values) // CAST: as above
}
