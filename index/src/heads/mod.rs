//! The heads in memory, and how the nearest of them are found.
//!
//! [`Heads`] holds the rows, [`HeadIndex`] finds the nearest ones: by a flat scan, of rows or of heads packed at open
//! ([`PackedHeads`]), or over an HNSW graph ([`HnswGraph`]) that is built once and opened from its saved form.
//!
//! Distances between heads are always squared L2 in head space; whoever calls has mapped cosine and inner
//! product to it. Promises: a build depends on the rows, the parameters and the seed alone, not on
//! threads; a search allocates nothing once its [`Scratch`] has grown; a saved graph is checked in full
//! before it is used. It does not know what lists are, nor which of them a query should read.
mod beam;
mod build;
mod duplicates;
mod flat;
mod graph;
mod head_index;
mod lines;
mod link;
mod links;
mod nearest;
mod packed;
mod repair;
mod rows;
mod saved;
mod scratch;
#[cfg(test)]
mod testing;

pub use build::{HnswParams, Stopped};
pub use graph::HnswGraph;
pub use head_index::{HeadIndex, HeadIndexKind};
pub use packed::{HeadScores, PackedHeads};
pub use rows::{Heads, HeadsError};
pub use saved::GraphError;
pub use scratch::Scratch;

/// One search among heads.
#[derive(Debug, Clone, Copy)]
pub struct HeadQuery<'a> {
    /// The query in head space: one row of the heads' element type and dimension.
    pub row: &'a [u8],
    /// How many heads are wanted.
    pub k: usize,
    /// How many of the nearest heads have their links followed while walking a graph: more find better
    /// heads and cost more distances. Below `k` it may still find `k` heads well when `k` is large. The
    /// flat scan is exact and ignores it.
    pub ef: usize,
}
