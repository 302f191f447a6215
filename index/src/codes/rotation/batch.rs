//! Rotating many rows at a time.
use super::Rotation;
use super::dense::RotationScratch;
use crate::DType;
use crate::kernels::{BlockKernel, LeftRows, Operation, RightRows};

/// A rotation made ready for many rows at a time.
pub(in crate::codes) struct BatchRotation<'a> {
    rotation: &'a Rotation,
    dim: usize,
    dims: usize,
    matrix: Option<(BlockKernel, RightRows)>,
}

impl<'a> BatchRotation<'a> {
    pub(in crate::codes) fn new(rotation: &'a Rotation, dim: usize, dims: usize) -> BatchRotation<'a> {
        let matrix = match rotation {
            Rotation::Dense(matrix) => {
                let kernel = BlockKernel::new(DType::F32, dim);
                let packed = kernel.pack_right(bytemuck::cast_slice(&matrix.rows()));
                Some((kernel, packed))
            }
            Rotation::Identity | Rotation::Hadamard { .. } => None,
        };
        BatchRotation { rotation, dim, dims, matrix }
    }

    /// Rotates rows lying back to back.
    pub(in crate::codes) fn apply(&self, rows: &[f32], out: &mut Vec<f32>) {
        let count = rows.len() / self.dim;
        out.clear();
        out.resize(count * self.dims, 0.0);
        match &self.matrix {
            Some((kernel, matrix)) => {
                let left: LeftRows = kernel.pack_left(bytemuck::cast_slice(rows));
                kernel.scores(Operation::InnerProduct, left.all(), matrix.all(), out);
            }
            None => {
                let scratch = &mut RotationScratch::default();
                for (row, out) in rows.chunks_exact(self.dim).zip(out.chunks_exact_mut(self.dims)) {
                    self.rotation.apply(row, self.dim, scratch, out);
                }
            }
        }
    }
}
