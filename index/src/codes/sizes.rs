//! What a code family can code, and what it takes.
use super::axes::AXES_DIM_MAX;
use super::error::TrainError;
use super::planes::SEGMENT_DIMS;
use super::rotation::DenseRotation;
use super::sample::MEASURED_ROWS;
use super::spec::CodeSpec;

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
