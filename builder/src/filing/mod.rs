//! Filing: every vector's nearest head and the further lists it is copied to.
//!
//! Works on blocks: the rows of one block against the heads of the blocks around it, as one matrix product.
//! Squared Euclidean distance throughout; nothing here is random or depends on threads.
mod candidates;
mod filer;
mod nearest;
mod neighbours;
mod rule;

pub use candidates::{CandidateHeads, Filed, FilingParams, FilingScratch, file_rows};
pub use filer::Filer;
pub use neighbours::neighbour_blocks;
pub use rule::{ReplicaRule, UnknownReplicaRule};

/// Blocks whose heads a vector may be filed under, its own included.
pub const NEIGHBOUR_BLOCKS: usize = 12;
