//! What a code family can code, and what it takes.
use super::axes::AXES_DIM_MAX;
use super::error::TrainError;
use super::planes::SEGMENT_DIMS;
use super::rotation::DenseRotation;
use super::sample::MEASURED_ROWS;
use super::spec::CodeSpec;

/// Largest dimension of codes that know queries: several decompositions of matrices take time with its cube.
const QUERIES_DIM_MAX: usize = 1024;

impl CodeSpec {
    /// Whether the family can code vectors of `dim` elements.
    ///
    /// # Errors
    /// [`TrainError`].
    pub fn check(self, dim: usize) -> Result<(), TrainError> {
        match self {
            CodeSpec::Axes { .. } | CodeSpec::Products { rotated: true, .. } if dim > AXES_DIM_MAX => {
                Err(TrainError::AxesDim { dim })
            }
            CodeSpec::Axes { bytes } if bytes as usize > dim.next_multiple_of(SEGMENT_DIMS) => {
                let most = dim.next_multiple_of(SEGMENT_DIMS);
                Err(TrainError::AxesBytes { bytes, dim, most })
            }
            CodeSpec::Products { quantisers, .. } if quantisers as usize > dim => {
                Err(TrainError::Quantisers { quantisers, dim })
            }
            _ => Ok(()),
        }
    }

    /// Whether codes of vectors of `dim` elements can be made for queries that are known: those that rotate residuals by a learned
    /// matrix, and code all of their dimensions.
    pub fn knows_queries(self, dim: usize) -> bool {
        let codes_all = match self {
            CodeSpec::Axes { bytes } => 8 * bytes as usize >= dim.next_multiple_of(SEGMENT_DIMS),
            CodeSpec::Products { rotated, .. } => rotated,
            CodeSpec::Full | CodeSpec::RaBitQ { .. } | CodeSpec::Binary => false,
        };
        codes_all && dim <= QUERIES_DIM_MAX
    }

    /// Bytes of memory that codes made for known queries take beyond [`CodeSpec::model_bytes`], once for all.
    pub fn query_map_bytes(self, dim: usize) -> usize {
        let dims = match self {
            CodeSpec::Products { quantisers, .. } => dim.next_multiple_of(quantisers as usize),
            _ => dim.next_multiple_of(SEGMENT_DIMS),
        };
        if self.knows_queries(dim) { DenseRotation::bytes(dim, dims) } else { 0 }
    }

    /// Bytes of the code of one vector of `dim` elements, without factors; 0 for exact vectors.
    pub fn code_bytes(self, dim: usize) -> usize {
        let dims = dim.next_multiple_of(SEGMENT_DIMS);
        match self {
            CodeSpec::Full => 0,
            CodeSpec::RaBitQ { bits } => dims * bits as usize / 8,
            CodeSpec::Axes { bytes } => bytes as usize,
            CodeSpec::Binary => dims / 8,
            CodeSpec::Products { quantisers, bits, .. } => {
                (quantisers as usize * usize::from(bits)).div_ceil(8)
            }
        }
    }

    /// Bytes of memory that a model for vectors of `dim` elements takes once for all: its matrix, centroids for coding and
    /// for queries.
    pub fn model_bytes(self, dim: usize) -> usize {
        match self {
            CodeSpec::Axes { bytes } => {
                DenseRotation::bytes(dim, dim.next_multiple_of(SEGMENT_DIMS).min(8 * bytes as usize))
            }
            CodeSpec::Products { quantisers, bits, rotated } => {
                let dims = dim.next_multiple_of(quantisers as usize);
                let matrix = if rotated { DenseRotation::bytes(dim, dims) } else { 0 };
                matrix + 2 * 4 * (dims << bits)
            }
            CodeSpec::Full | CodeSpec::RaBitQ { .. } | CodeSpec::Binary => 0,
        }
    }

    /// Residuals that [`CodeModel::train`](super::CodeModel::train) makes use of.
    pub fn sample_rows(self, dim: usize) -> usize {
        const PRODUCTS: usize = 8_000_000_000;
        match self {
            CodeSpec::Axes { .. } | CodeSpec::Products { .. } => (PRODUCTS / (dim * dim)).clamp(8192, 65_536),
            _ => MEASURED_ROWS,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_coded_is_refused() {
        assert!(CodeSpec::Axes { bytes: 132 }.check(100).is_err());
        assert!(CodeSpec::Axes { bytes: 128 }.check(100).is_ok());
        assert!(CodeSpec::Axes { bytes: 32 }.check(4096).is_err());
        assert!(CodeSpec::RaBitQ { bits: 1 }.check(4096).is_ok());
    }
}
