//! Documents as one vector each: fixed dimensional encodings, whose inner products approximate MaxSim.
//!
//! MUVERA: Jayaram, Dhulipala, Hadian, Lee and Mirrokni, "MUVERA: Multi-Vector Retrieval via Fixed Dimensional Encodings", NeurIPS 2024. Random planes
//! cut the space of tokens into buckets (SimHash). A query's block of a bucket is the sum of its tokens there, a document's the mean. Where a token of the query and
//! its nearest of the document share a bucket, the product of the blocks has about their product. Repetitions with other planes average what is
//! lost where they do not.
mod encoder;
mod random;
mod spec;

pub use encoder::{DocumentEncoder, EncodingScratch};
pub use spec::{EmptyBuckets, EncodingSpec, EncodingSpecError};
