//! Documents of many vectors: which rows belong to each, how two are compared, and one vector that stands for all of them.
mod encoding;
mod max_sim;
mod offsets;

pub use encoding::{DocumentEncoder, EmptyBuckets, EncodingScratch, EncodingSpec, EncodingSpecError};
pub use max_sim::{DocumentTokens, MaxSim, QueryTokens};
pub use offsets::{DocumentOffsets, DocumentOffsetsError};
