//! What product codes learn once for an index, as stored.
//!
//! ```text
//!  0  4 dim         elements of a residual           8  4 bits       of a sub-quantiser, 4 or 8
//!  4  4 quantisers                                  12  4 rotation   0 none, 2 matrix
//! 16  4 length      0 as it is, 1 one              20  4 queries    0 as vectors, 1 mapped, 2 and anchored
//! 24  8 zero
//! 32 .. gain: f32 x dims, then weight: f32 x dims, then lost: f32 x dims, then mean: f32 x dim
//! then centroids: f32 x quantisers x 2^bits x dims / quantisers, then matrix rows: i16 x dims x dim, steps of 2^-15
//! (rotation 2), then the map of queries, as `codes::aware` describes it (queries 1 and 2)
//! dims = dim, rounded up to a multiple of the quantisers
//! ```
use std::path::Path;

use crate::codes::CodeSpec;
use crate::codes::aware::{MapForm, QueryMap};
use crate::codes::fields::Fields;
use crate::codes::frame::{Centre, Frame};
use crate::codes::rotation::Rotation;
use crate::codes::sums::squared_length;
use crate::format::OpenError;
use crate::kernels::scan::BLOCK_VECTORS;

/// Centroids of every sub-quantiser, and what their codes are like.
#[derive(Debug, Clone)]
pub struct ProductModel {
    pub(super) dim: usize,
    pub(super) quantisers: usize,
    /// Bits of a sub-quantiser, 4 or 8.
    pub(super) bits: u8,
    /// Whether centroids are of residuals of length 1, rather than of residuals as they are.
    pub(super) unit_length: bool,
    pub(super) rotation: Rotation,
    /// What queries go through, where that is not the same.
    pub(super) queries: Option<QueryMap>,
    /// Mean of the vectors that are not outliers, or of queries that the code knows.
    pub(super) mean: Vec<f32>,
    /// Centroids back to back, sub-quantiser by sub-quantiser.
    pub(super) centroids: Vec<f32>,
    /// What each dimension of the nearest centroid is multiplied with when it stands for a residual.
    pub(super) gain: Vec<f32>,
    /// Centroids times gain, each sub-quantiser's dimension by dimension: for the tables of queries.
    pub(super) columns: Vec<f32>,
    /// Share of the squared distance from query to head that falls on each dimension.
    pub(super) weight: Vec<f32>,
    /// Mean squared error of each dimension of a code.
    pub(super) lost: Vec<f32>,
}

impl ProductModel {
    /// What a residual is multiplied with before it is compared with centroids.
    pub(super) fn scale_of(&self, rotated: &[f32]) -> f32 {
        let length = squared_length(rotated).sqrt();
        if self.unit_length && length > 0.0 { (1.0 / length).min(f64::from(f32::MAX)) as f32 } else { 1.0 } // CAST: rounds
    }

    /// Dimensions coded.
    pub(super) fn dims(&self) -> usize {
        self.dim.next_multiple_of(self.quantisers)
    }

    /// Dimensions of a sub-quantiser.
    pub(super) fn width(&self) -> usize {
        self.dims() / self.quantisers
    }

    /// Centroids of a sub-quantiser.
    pub(super) fn entries(&self) -> usize {
        1 << self.bits
    }

    pub(super) fn set_gain(&mut self, gain: Vec<f32>) {
        let (width, entries) = (self.width(), self.entries());
        self.columns.clear();
        let quantisers = self.centroids.chunks_exact(entries * width).zip(gain.chunks_exact(width));
        for (centroids, gain) in quantisers {
            for (column, gain) in gain.iter().enumerate() {
                self.columns.extend(centroids.iter().skip(column).step_by(width).map(|x| x * gain));
            }
        }
        self.gain = gain;
    }

    pub(in crate::codes) fn block_bytes(&self) -> usize {
        BLOCK_VECTORS * (self.quantisers * usize::from(self.bits)).div_ceil(8)
    }

    pub(in crate::codes) fn memory_bytes(&self) -> usize {
        let values = self.mean.len() + 2 * self.centroids.len() + 3 * self.dims();
        let queries = self.queries.as_ref().map_or(0, QueryMap::memory_bytes);
        queries + self.rotation.memory_bytes() + 4 * values
    }

    /// Sub-quantisers, their bits, and the dimensions of each; the last may have fewer.
    pub(in crate::codes) fn allotment(&self) -> String {
        let most = if self.quantisers * self.width() > self.dim { "up to " } else { "" };
        format!(
            "{} x {} bits for {most}{} of {} dimensions",
            self.quantisers,
            self.bits,
            self.width(),
            self.dim
        )
    }

    pub(in crate::codes) fn frame(&self) -> Frame<'_> {
        Frame {
            dim: self.dim,
            dims: self.dims(),
            rotation: &self.rotation,
            queries: self.queries.as_ref(),
            centre: Centre::Head,
            mean: &self.mean,
        }
    }

    /// The model as stored.
    pub(in crate::codes) fn to_bytes(&self) -> Vec<u8> {
        let matrix = match &self.rotation {
            Rotation::Dense(matrix) => Some(matrix),
            _ => None,
        };
        let words = [
            self.dim as u32,        // CAST: at most DIM_MAX
            self.quantisers as u32, // CAST: at most the number of dimensions
            u32::from(self.bits),
            if matrix.is_some() { 2 } else { 0 },
            u32::from(self.unit_length),
            MapForm::of(self.queries.as_ref()).number(),
            0,
            0,
        ];
        let mut out = Vec::new();
        words.iter().for_each(|word| out.extend_from_slice(&word.to_le_bytes()));
        for values in [&self.gain, &self.weight, &self.lost, &self.mean, &self.centroids] {
            values.iter().for_each(|value| out.extend_from_slice(&value.to_le_bytes()));
        }
        matrix.iter().flat_map(|matrix| matrix.steps()).for_each(|x| out.extend_from_slice(&x.to_le_bytes()));
        self.queries.iter().for_each(|map| map.push(&self.rotation, &mut out));
        out
    }

    /// Reads a model of the family `spec` for vectors of `dim` elements.
    ///
    /// # Errors
    /// [`OpenError::Field`] for a value that cannot be.
    pub(in crate::codes) fn from_bytes(
        path: &Path,
        bytes: &[u8],
        spec: CodeSpec,
        dim: usize,
    ) -> Result<ProductModel, OpenError> {
        let mut fields = Fields::of_model(path, bytes, dim)?;
        let quantisers = fields.number("quantisers", 1..=dim)?;
        let bits = fields.number("bits", 4..=8)? as u8; // CAST: just checked
        let rotated = fields.number("rotation", 0..=2)? == 2;
        let unit_length = fields.number("length", 0..=1)? == 1;
        let map = MapForm::read(&mut fields)?;
        (0..2).try_for_each(|_| fields.number("zero", 0..=0).map(|_| ()))?;
        // How centroids were learned is told by the index alone.
        let uniform = matches!(spec, CodeSpec::Products { uniform: true, .. });
        let same = CodeSpec::Products { quantisers: quantisers as u32, bits, rotated, uniform }; // CAST: at most DIM_MAX
        if same != spec {
            return Err(OpenError::field(path, "code", same, spec));
        }
        let dims = dim.next_multiple_of(quantisers);
        let gain = fields.lengths("gain", dims)?;
        let weight = fields.lengths("weight", dims)?;
        let lost = fields.lengths("lost", dims)?;
        let mean = fields.floats("mean", dim)?;
        let centroids = fields.floats("centroids", dims << bits)?;
        let mut rotation = match rotated {
            true => Rotation::Dense(fields.matrix(dim, dims)?),
            false => Rotation::Identity,
        };
        let queries = map.read_map(&mut fields, &mut rotation, dims, dim)?;
        fields.finish()?;
        let (none, columns) = (Vec::new(), Vec::new());
        let mut model = ProductModel {
            dim,
            quantisers,
            bits,
            unit_length,
            rotation,
            queries,
            mean,
            centroids,
            gain: none,
            columns,
            weight,
            lost,
        };
        model.set_gain(gain);
        Ok(model)
    }
}
