//! What a code family can code, and what it takes.
use super::axes::AXES_DIM_MAX;
use super::error::TrainError;
use super::planes::SEGMENT_DIMS;
use super::products::uniform_bytes;
use super::recurrent::{RecurrentModel, trained_bits_max};
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
            CodeSpec::Recurrent { bits, .. } if dim > AXES_DIM_MAX => {
                Err(TrainError::TrainedDim { bits, dim, most: AXES_DIM_MAX })
            }
            CodeSpec::Recurrent { bits, .. } if bits as usize > trained_bits_max(dim) => {
                Err(TrainError::TrainedBits { bits, dim, most: trained_bits_max(dim) })
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
            CodeSpec::Full | CodeSpec::RaBitQ { .. } | CodeSpec::Binary | CodeSpec::Recurrent { .. } => false,
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
            CodeSpec::Recurrent { bits, codes, .. } => bits as usize * usize::from(codes) / 8,
        }
    }

    /// Bytes of memory that a model for vectors of `dim` elements takes once for all: its matrix, centroids for coding and
    /// for queries.
    pub fn model_bytes(self, dim: usize) -> usize {
        match self {
            CodeSpec::Axes { bytes } => {
                DenseRotation::bytes(dim, dim.next_multiple_of(SEGMENT_DIMS).min(8 * bytes as usize))
            }
            CodeSpec::Products { quantisers, bits, rotated, .. } => {
                let dims = dim.next_multiple_of(quantisers as usize);
                let matrix = if rotated { DenseRotation::bytes(dim, dims) } else { 0 };
                matrix + 2 * 4 * (dims << bits)
            }
            CodeSpec::Recurrent { bits, codes, .. } => {
                RecurrentModel::matrices_bytes(bits as usize, usize::from(codes), dim)
            }
            CodeSpec::Full | CodeSpec::RaBitQ { .. } | CodeSpec::Binary => 0,
        }
    }

    /// Bytes of memory that coding vectors of `dim` elements takes for each thread beyond the model, where that is much.
    pub fn coder_bytes(self, dim: usize) -> usize {
        match self {
            // Matrices in single precision, and the transpose of the first.
            CodeSpec::Recurrent { bits, codes, .. } => 2 * usize::from(codes) * 4 * bits as usize * dim,
            _ => 0,
        }
    }

    /// Bytes of memory that each vector of a list takes while the list is coded, beyond what codes of as many bits as elements take.
    pub fn coder_row_bytes(self, dim: usize) -> usize {
        match self {
            // Rotated, projected anew, and their numbers as bytes and in two forms.
            CodeSpec::Recurrent { bits, .. } => 17 * bits as usize + 8 * dim,
            _ => 0,
        }
    }

    /// Bytes of memory that training takes beyond the residuals and a copy of them.
    pub fn training_bytes(self, dim: usize, residuals: usize) -> usize {
        match self {
            // The axes of residuals, from their covariances in double precision.
            CodeSpec::Axes { .. } | CodeSpec::Products { rotated: true, .. } => 3 * 8 * dim * dim,
            CodeSpec::Recurrent { bits, .. } => {
                let bits = bits as usize;
                // Residuals of one length and their codes, columns of both and as they are multiplied; products and rotations.
                let rows = 4 * residuals * (2 * dim + 3 * bits);
                rows + self.coder_bytes(dim) + 8 * (4 * bits * dim + 4 * dim * dim)
            }
            _ => 0,
        }
    }

    /// Bytes of memory that training on `residuals` takes on `threads` threads, where that is much.
    pub fn training_threads_bytes(self, dim: usize, residuals: usize, threads: usize) -> usize {
        match self {
            CodeSpec::Products { quantisers, bits, uniform: true, .. } => {
                let quantisers = quantisers as usize;
                threads.min(quantisers) * uniform_bytes(residuals, dim.div_ceil(quantisers), bits)
            }
            _ => 0,
        }
    }

    /// Bytes of memory that taking matrices learned elsewhere takes beyond a sample: one as it is read and in its steps, those that were taken,
    /// and all once more in single precision to code the sample.
    pub fn given_bytes(self, dim: usize) -> usize {
        match self {
            CodeSpec::Recurrent { bits, .. } => {
                let coder = self.coder_bytes(dim) + MEASURED_ROWS * self.coder_row_bytes(dim);
                self.model_bytes(dim) + coder + 2 * 8 * bits as usize * dim
            }
            _ => 0,
        }
    }

    /// Residuals that [`CodeModel::train`](super::CodeModel::train) makes use of.
    pub fn sample_rows(self, dim: usize) -> usize {
        const PRODUCTS: usize = 8_000_000_000;
        // Codes are made anew in each round of training.
        const CODED: usize = 2_000_000_000;
        match self {
            CodeSpec::Axes { .. } | CodeSpec::Products { .. } => (PRODUCTS / (dim * dim)).clamp(8192, 65_536),
            CodeSpec::Recurrent { bits, .. } => (CODED / (dim * bits as usize)).clamp(8192, 32_768),
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
