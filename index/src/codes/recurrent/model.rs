//! What recurrent binary codes learn once for an index, as stored.
//!
//! ```text
//!  0  4 dim         elements of a vector            12  4 queries    0 in bytes, 1 coded as vectors are
//!  4  4 bits        of a code: M                    16  4 centre     0 the list's head, 1 the mean
//!  8  4 codes       of a vector: U                  20  4 length     0 as it is, 1 one
//! 24  4 energy      f32, see RecurrentModel::energy 28  4 zero
//! 32 .. mean: f32 x dim, then W_0 to W_(U-1), of M rows, then R_0 to R_(U-2), of dim rows; each of these
//! { scale: f32, rows: i16, steps of 2^-15 times the scale }
//! ```
use std::path::Path;

use crate::codes::CodeSpec;
use crate::codes::fields::Fields;
use crate::codes::frame::{Centre, Frame};
use crate::codes::planes::{PlaneLayout, PlaneSegment};
use crate::codes::rotation::{DenseRotation, Rotation};
use crate::format::OpenError;

/// Matrices of recurrent binary codes, and what their codes are like.
#[derive(Debug, Clone)]
pub struct RecurrentModel {
    pub(super) dim: usize,
    pub(super) layout: PlaneLayout,
    /// Whether queries are coded as vectors are, rather than in bytes.
    pub(super) is_symmetric: bool,
    pub(super) centre: Centre,
    /// Whether what is coded is taken in a scale in which it has length 1.
    pub(super) unit_length: bool,
    /// Mean squared length of a code, its numbers counted from the middle of their range: what rounding a query costs.
    pub(super) energy: f32,
    /// What vectors are measured from, or the mean of those that are not outliers.
    pub(super) mean: Vec<f32>,
    /// `W_0` to `W_(U-1)`, from the elements of a vector to the bits of a code.
    pub(super) projections: Vec<Rotation>,
    /// `R_0` to `R_(U-2)`, back.
    pub(super) reconstructions: Vec<Rotation>,
}

impl RecurrentModel {
    /// Bits of a code.
    pub(super) fn bits(&self) -> usize {
        self.layout.dims()
    }

    /// Codes of a vector.
    pub(super) fn codes(&self) -> usize {
        self.projections.len()
    }

    /// Elements of `v` in one step of a number of [`PlaneLayout`]: `v` counts the first code as 1.
    pub(super) fn step(&self) -> f32 {
        step_after(self.codes())
    }

    /// How bits lie in blocks: as numbers of as many bits as there are codes, one for each bit of a code.
    pub(super) fn layout_of(bits: usize, codes: usize) -> PlaneLayout {
        PlaneLayout::new(vec![PlaneSegment { dims: bits, bits: codes as u8 }]) // CAST: at most CODES_MAX
    }

    pub(in crate::codes) fn layout(&self) -> &PlaneLayout {
        &self.layout
    }

    pub(in crate::codes) fn frame(&self) -> Frame<'_> {
        Frame {
            dim: self.dim,
            dims: self.bits(),
            rotation: &self.projections[0],
            queries: None,
            centre: self.centre,
            mean: &self.mean,
        }
    }

    /// Memory it takes.
    pub(in crate::codes) fn memory_bytes(&self) -> usize {
        let matrices = self.projections.iter().chain(&self.reconstructions);
        4 * self.mean.len() + matrices.map(Rotation::memory_bytes).sum::<usize>()
    }

    pub(in crate::codes) fn allotment(&self) -> String {
        let queries = if self.is_symmetric { ", queries likewise" } else { "" };
        format!("{} x {} bits for {} dimensions{queries}", self.codes(), self.bits(), self.dim)
    }

    /// The model as stored.
    pub(in crate::codes) fn to_bytes(&self) -> Vec<u8> {
        let words = [
            self.dim as u32, // CAST: at most DIM_MAX, as the next
            self.bits() as u32,
            self.codes() as u32, // CAST: at most CODES_MAX
            u32::from(self.is_symmetric),
            u32::from(self.centre == Centre::Mean),
            u32::from(self.unit_length),
            self.energy.to_bits(),
            0,
        ];
        let mut out = Vec::new();
        words.iter().for_each(|word| out.extend_from_slice(&word.to_le_bytes()));
        self.mean.iter().for_each(|value| out.extend_from_slice(&value.to_le_bytes()));
        for matrix in self.projections.iter().chain(&self.reconstructions) {
            let Rotation::Dense(matrix) = matrix else { unreachable!("recurrent codes have matrices") };
            out.extend_from_slice(&matrix.scale().to_le_bytes());
            matrix.steps().for_each(|x| out.extend_from_slice(&x.to_le_bytes()));
        }
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
    ) -> Result<RecurrentModel, OpenError> {
        let CodeSpec::Recurrent { bits: of_spec, codes: codes_of_spec, symmetric } = spec else {
            return Err(OpenError::field(path, "code", spec, "bits:MxU"));
        };
        let mut fields = Fields::of_model(path, bytes, dim)?;
        let (bits, codes) = (of_spec as usize, usize::from(codes_of_spec));
        fields.number("bits", bits..=bits)?;
        fields.number("codes", codes..=codes)?;
        let is_symmetric = fields.number("queries", usize::from(symmetric)..=usize::from(symmetric))? == 1;
        let centre = if fields.number("centre", 0..=1)? == 0 { Centre::Head } else { Centre::Mean };
        let unit_length = fields.number("length", 0..=1)? == 1;
        let energy = fields.float("energy")?;
        fields.number("zero", 0..=0)?;
        let mean = fields.floats("mean", dim)?;
        let mut matrix = |what: &str, from: usize, to: usize| {
            let scale = fields.positive(what)?;
            let mut matrix = fields.matrix(from, to)?;
            matrix.set_scale(scale);
            Ok(Rotation::Dense(matrix))
        };
        let projections: Vec<Rotation> =
            (0..codes).map(|_| matrix("scale of a projection", dim, bits)).collect::<Result<_, _>>()?;
        let reconstructions =
            (1..codes).map(|_| matrix("scale of a reconstruction", bits, dim)).collect::<Result<_, _>>()?;
        fields.finish()?;
        let layout = RecurrentModel::layout_of(bits, codes);
        Ok(RecurrentModel {
            dim,
            layout,
            is_symmetric,
            centre,
            unit_length,
            energy,
            mean,
            projections,
            reconstructions,
        })
    }

    /// Memory of the matrices of `codes` codes of `bits` bits.
    pub(in crate::codes) fn matrices_bytes(bits: usize, codes: usize, dim: usize) -> usize {
        let (projection, reconstruction) = (DenseRotation::bytes(dim, bits), DenseRotation::bytes(bits, dim));
        codes * projection + codes.saturating_sub(1) * reconstruction
    }
}

/// Elements of `v` in one step of a number of `codes` bits, from 0 to `2^codes - 1`.
pub(super) fn step_after(codes: usize) -> f32 {
    4.0 / (1_u16 << codes) as f32 // CAST: exact
}
