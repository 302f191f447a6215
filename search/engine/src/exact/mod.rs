//! The exact nearest vectors, by comparison with every vector: what answers are measured against.
//!
//! Vectors go past in pieces, from memory or from SSD, and each piece is compared with all queries of a search. Scores are
//! those of ordinary searches, bit for bit. Memory grows by four bytes for each piece of the index, and no further.
mod mass;
mod search;
mod slot;

pub use mass::{ATTENTION_SCALE_MAX, ExpSum};
pub(crate) use search::ExactPieces;
pub use search::{ExactNearest, ExactSearch};
pub(crate) use slot::ExactSlot;
