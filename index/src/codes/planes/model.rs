//! What codes made of bit planes learn once for an index, as stored.
//!
//! ```text
//!  0  4 dim         elements of a residual          12  4 rotation  0 none, 1 Hadamard, 2 matrix
//!  4  4 segments                                    16  4 energy    f32, see PlaneModel::energy
//!  8  4 centre      0 the list's head, 1 the mean   20  4 query     0 bytes, 1 signs
//! 24  4 dropped     f32, see PlaneModel::dropped   28  4 queries   0 as vectors, 1 mapped, 2 and anchored
//! 32 .. per segment { dims: u32, bits: u32, step: f32, spread: f32, weight: f32, lost: f32 }
//! then mean: f32 x dim, then sign bits (rotation 1) or matrix rows: i16, steps of 2^-15 (rotation 2),
//! then the map of queries, as `codes::aware` describes it (queries 1 and 2)
//! ```
use std::path::Path;

use super::layout::{PlaneLayout, PlaneSegment, SEGMENT_DIMS};
use crate::DIM_MAX;
use crate::codes::CodeSpec;
use crate::codes::aware::{MapForm, QueryMap};
use crate::codes::fields::Fields;
use crate::codes::frame::{Centre, Frame};
use crate::codes::rotation::Rotation;
use crate::format::OpenError;
use crate::kernels::scan::BLOCK_VECTORS;

/// How a query's values are rounded for the scan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum QueryForm {
    /// To bytes from -127 to 127.
    Bytes,
    /// To their signs.
    Signs,
}

/// What the dimensions of a segment have in common.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct SegmentModel {
    /// Distance between neighbouring values of a code, before the vector's own scale.
    pub(super) step: f32,
    /// Expected variance of a dimension, relative to those of other segments.
    pub(super) spread: f32,
    /// Share of the squared distance from query to head that falls on one dimension.
    pub(super) weight: f32,
    /// Mean squared error of a dimension of a code, relative to those of other segments.
    pub(super) lost: f32,
}

/// Codes made of bit planes: a residual is rotated, and each dimension is a number of a few bits.
///
/// RaBitQ (Gao and Long, SIGMOD 2024; Gao et al., SIGMOD 2025) codes every dimension of a random rotation alike.
/// Principal axes order the dimensions by variance, cut them into segments, rotate randomly inside each, and give
/// strong segments more bits. Both scale each vector's code so that estimates are unbiased.
#[derive(Debug, Clone)]
pub struct PlaneModel {
    pub(super) dim: usize,
    pub(super) layout: PlaneLayout,
    pub(super) segments: Vec<SegmentModel>,
    pub(super) rotation: Rotation,
    /// What queries go through, where that is not the same.
    pub(super) queries: Option<QueryMap>,
    pub(super) centre: Centre,
    pub(super) query: QueryForm,
    /// Mean of the vectors that are not outliers, or of queries that the code knows.
    pub(super) mean: Vec<f32>,
    /// Mean squared length of a code, its values counted from the middle of their range: what rounding a query
    /// costs.
    pub(super) energy: f32,
    /// As [`SegmentModel::lost`], for dimensions that are not coded at all.
    pub(super) dropped: f32,
}

impl PlaneModel {
    pub(in crate::codes) fn frame(&self) -> Frame<'_> {
        Frame {
            dim: self.dim,
            dims: self.layout.dims(),
            rotation: &self.rotation,
            queries: self.queries.as_ref(),
            centre: self.centre,
            mean: &self.mean,
        }
    }

    /// How bits lie in blocks.
    pub fn layout(&self) -> &PlaneLayout {
        &self.layout
    }

    /// What residuals go through before they are coded.
    pub fn rotation(&self) -> &Rotation {
        &self.rotation
    }

    /// Memory it takes.
    pub(in crate::codes) fn memory_bytes(&self) -> usize {
        let queries = self.queries.as_ref().map_or(0, QueryMap::memory_bytes);
        queries + self.rotation.memory_bytes() + 4 * self.mean.len() + 64 * self.segments.len()
    }

    /// Bits a dimension, segment by segment.
    pub(in crate::codes) fn allotment(&self) -> String {
        let mut parts: Vec<(usize, u8)> = Vec::new();
        for segment in self.layout.segments() {
            match parts.last_mut() {
                Some((dims, bits)) if *bits == segment.bits => *dims += segment.dims,
                _ => parts.push((segment.dims, segment.bits)),
            }
        }
        let words: Vec<String> = parts.iter().map(|(dims, bits)| format!("{dims}x{bits}")).collect();
        format!("dimensions x bits {}", words.join(" "))
    }

    /// The model as stored.
    pub(in crate::codes) fn to_bytes(&self) -> Vec<u8> {
        let rotation = match &self.rotation {
            Rotation::Identity => 0,
            Rotation::Hadamard { .. } => 1,
            Rotation::Dense(_) => 2_u32,
        };
        let mut out = Vec::new();
        let words = [
            self.dim as u32,            // CAST: at most DIM_MAX
            self.segments.len() as u32, // CAST: fewer than dimensions
            u32::from(self.centre == Centre::Mean),
            rotation,
            self.energy.to_bits(),
            u32::from(self.query == QueryForm::Signs),
            self.dropped.to_bits(),
            MapForm::of(self.queries.as_ref()).number(),
        ];
        words.iter().for_each(|word| out.extend_from_slice(&word.to_le_bytes()));
        for (segment, model) in self.layout.segments().iter().zip(&self.segments) {
            out.extend_from_slice(&(segment.dims as u32).to_le_bytes()); // CAST: at most DIM_MAX and padding
            out.extend_from_slice(&u32::from(segment.bits).to_le_bytes());
            for value in [model.step, model.spread, model.weight, model.lost] {
                out.extend_from_slice(&value.to_le_bytes());
            }
        }
        self.mean.iter().for_each(|value| out.extend_from_slice(&value.to_le_bytes()));
        match &self.rotation {
            Rotation::Identity => {}
            Rotation::Hadamard { flips } => out.extend_from_slice(flips),
            Rotation::Dense(matrix) => matrix.steps().for_each(|x| out.extend_from_slice(&x.to_le_bytes())),
        }
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
    ) -> Result<PlaneModel, OpenError> {
        let mut fields = Fields::of_model(path, bytes, dim)?;
        let segments = fields.number("segments", 1..=DIM_MAX / SEGMENT_DIMS + 1)?;
        let centre = if fields.number("centre", 0..=1)? == 0 { Centre::Head } else { Centre::Mean };
        let rotation = fields.number("rotation", 0..=2)?;
        let energy = fields.float("energy")?;
        let query = if fields.number("query", 0..=1)? == 0 { QueryForm::Bytes } else { QueryForm::Signs };
        let dropped = fields.float("dropped")?;
        let map = MapForm::read(&mut fields)?;
        let (mut shapes, mut models) = (Vec::new(), Vec::new());
        for _ in 0..segments {
            let dims = fields.number("dims of a segment", SEGMENT_DIMS..=DIM_MAX + SEGMENT_DIMS)?;
            if !dims.is_multiple_of(SEGMENT_DIMS) {
                return Err(OpenError::field(path, "dims of a segment", dims, "a multiple of 32"));
            }
            let bits = fields.number("bits of a segment", 1..=8)? as u8; // CAST: just checked
            shapes.push(PlaneSegment { dims, bits });
            let (step, spread) = (fields.float("step")?, fields.float("spread")?);
            let (weight, lost) = (fields.float("weight")?, fields.float("lost")?);
            models.push(SegmentModel { step, spread, weight, lost });
        }
        let dims: usize = shapes.iter().map(|segment| segment.dims).sum();
        if dims > DIM_MAX.next_multiple_of(SEGMENT_DIMS) || (rotation < 2 && dims < dim) {
            return Err(OpenError::field(path, "dims of all segments", dims, format!("{dim} and padding")));
        }
        let mean = fields.floats("mean", dim)?;
        let mut rotation = match rotation {
            0 => Rotation::Identity,
            1 => Rotation::Hadamard { flips: fields.take("sign bits", Rotation::flip_bytes(dims))?.to_vec() },
            _ => Rotation::Dense(fields.matrix(dim, dims)?),
        };
        let queries = map.read_map(&mut fields, &mut rotation, dims, dim)?;
        fields.finish()?;
        let layout = PlaneLayout::new(shapes);
        let uniform = layout.segments().iter().all(|s| match spec {
            CodeSpec::RaBitQ { bits } => s.bits == bits,
            CodeSpec::Binary => s.bits == 1,
            _ => true,
        });
        // Lists were laid out by the code's size.
        let block_bytes = BLOCK_VECTORS * spec.code_bytes(dim);
        if !uniform || layout.block_bytes() != block_bytes {
            return Err(OpenError::field(path, "bits", "others", format!("those of {spec}")));
        }
        Ok(PlaneModel {
            dim,
            layout,
            segments: models,
            rotation,
            queries,
            centre,
            query,
            mean,
            energy,
            dropped,
        })
    }
}
