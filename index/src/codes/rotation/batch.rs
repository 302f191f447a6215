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
    matrix: Option<BatchMatrix>,
}

/// A matrix made ready for many rows at a time.
pub(in crate::codes) struct BatchMatrix {
    kernel: BlockKernel,
    packed: RightRows,
    dim: usize,
}

impl BatchMatrix {
    /// Of rows of `dim` elements lying back to back.
    pub(in crate::codes) fn new(rows: &[f32], dim: usize) -> BatchMatrix {
        let kernel = BlockKernel::new(DType::F32, dim);
        let packed = kernel.pack_right(bytemuck::cast_slice(rows));
        BatchMatrix { kernel, packed, dim }
    }

    /// Products of its rows with each of `rows`, which lie back to back.
    pub(in crate::codes) fn apply(&self, rows: &[f32], out: &mut Vec<f32>) {
        out.clear();
        out.resize(rows.len() / self.dim * self.packed.len(), 0.0);
        let left: LeftRows = self.kernel.pack_left(bytemuck::cast_slice(rows));
        self.kernel.scores(Operation::InnerProduct, left.all(), self.packed.all(), out);
    }
}

impl<'a> BatchRotation<'a> {
    pub(in crate::codes) fn new(rotation: &'a Rotation, dim: usize, dims: usize) -> BatchRotation<'a> {
        let matrix = match rotation {
            Rotation::Dense(matrix) => Some(BatchMatrix::new(&matrix.rows(), dim)),
            Rotation::Identity | Rotation::Hadamard { .. } => None,
        };
        BatchRotation { rotation, dim, dims, matrix }
    }

    /// Rotates rows lying back to back.
    pub(in crate::codes) fn apply(&self, rows: &[f32], out: &mut Vec<f32>) {
        match &self.matrix {
            Some(matrix) => matrix.apply(rows, out),
            None => {
                out.clear();
                out.resize(rows.len() / self.dim * self.dims, 0.0);
                let scratch = &mut RotationScratch::default();
                for (row, out) in rows.chunks_exact(self.dim).zip(out.chunks_exact_mut(self.dims)) {
                    self.rotation.apply(row, self.dim, scratch, out);
                }
            }
        }
    }
}
