//! Documents of many vectors: which rows belong to each, and how two are compared.
mod max_sim;
mod offsets;

pub use max_sim::{DocumentTokens, MaxSim, QueryTokens};
pub use offsets::{DocumentOffsets, DocumentOffsetsError};
