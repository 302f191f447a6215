//! What vectors are like, before anything is known of their content.
use spandrel_index::format::ENCODING_DTYPE;
use spandrel_index::{DType, Metric, VectorSource};

use crate::Input;

/// Vectors to be indexed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct VectorShape {
    /// Number of vectors.
    pub vectors: u64,
    /// Elements of each.
    pub dim: usize,
    /// Type of an element.
    pub dtype: DType,
    /// How they are compared.
    pub metric: Metric,
}

impl VectorShape {
    /// The shape of what a source holds.
    pub fn of(source: &dyn VectorSource, metric: Metric) -> VectorShape {
        VectorShape { vectors: source.len(), dim: source.dim(), dtype: source.dtype(), metric }
    }

    /// The shape of what lists are made of: of an input's vectors, or of the encodings of its documents.
    pub fn of_input(input: Input<'_>, metric: Metric) -> VectorShape {
        match input.documents.zip(input.document_encoding) {
            Some((offsets, spec)) => VectorShape {
                vectors: offsets.documents() as u64, // CAST: usize is 64 bits
                dim: spec.dim as usize,              // CAST: widening
                dtype: ENCODING_DTYPE,
                metric,
            },
            None => VectorShape::of(input.vectors, metric),
        }
    }
}
