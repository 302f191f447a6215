//! Why a code cannot be trained.
use super::axes::AXES_DIM_MAX;
use super::products::CodebooksError;

/// Why a code cannot be trained.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// Principal axes of this many dimensions take too long to find.
    #[error("axes for {dim} dimensions, at most {AXES_DIM_MAX} are handled: take rabitq, or pq without +opq")]
    AxesDim {
        /// Dimensions given.
        dim: usize,
    },
    /// Codebooks given for another code.
    #[error(transparent)]
    Codebooks(#[from] CodebooksError),
    /// More sub-quantisers than dimensions.
    #[error("{quantisers} sub-quantisers for {dim} dimensions, at most one for each is expected")]
    Quantisers {
        /// Sub-quantisers asked for.
        quantisers: u32,
        /// Dimensions given.
        dim: usize,
    },
    /// Learning a code for so many dimensions takes too long.
    #[error("bits:{bits}xU trained for {dim} dimensions, at most {most} dimensions are: give --binariser")]
    TrainedDim {
        /// Bits asked for.
        bits: u32,
        /// Dimensions given.
        dim: usize,
        /// Most dimensions that a code is trained for.
        most: usize,
    },
    /// Learning a code of many bits from a sample takes too long.
    #[error(
        "bits:{bits}xU trained for {dim} dimensions, at most {most} bits are: give --binariser, or take fewer"
    )]
    TrainedBits {
        /// Bits asked for.
        bits: u32,
        /// Dimensions given.
        dim: usize,
        /// Most bits that a code is trained with.
        most: usize,
    },
    /// More bits than eight for each dimension.
    #[error("axes:{bytes} is more than 8 bits for each of {dim} dimensions, expected at most axes:{most}")]
    AxesBytes {
        /// Bytes asked for.
        bytes: u32,
        /// Dimensions given.
        dim: usize,
        /// Most bytes that can be used.
        most: usize,
    },
}
