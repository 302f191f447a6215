//! From rows in memory to lists: hierarchical balanced clustering, splitting, and order by nearness.
//!
//! Everything is squared Euclidean distance; the caller brings other metrics into that form. Everything
//! depends on the rows, the parameters and the seed alone, not on the pool.
mod flat;
mod head_kind;
mod order;
mod parts;
mod refine;
mod split;
mod tree;

pub use head_kind::{HeadKind, representative};
pub use order::bisect_order;
pub use parts::CoarseParts;
pub use split::split;
pub use tree::cluster;

use std::ops::Range;

use crate::filing::FilingWidth;
use crate::measured::cluster as measured;

/// How to cluster.
#[derive(Debug, Clone, Copy)]
pub struct ClusterParams {
    /// Lists wanted, at least one. Fewer come out when there are fewer distinct rows.
    pub lists: usize,
    /// Most children of a tree node, 16 to 64 as a rule, at least 2.
    pub branching: usize,
    /// Weight of balance: how many mean distances a centre with twice its share of rows is pushed away. 0 is
    /// plain k-means.
    pub balance: f32,
    /// Rounds of Lloyd's algorithm in each node.
    pub rounds: usize,
    /// Rows of a node that its centres are learned from, for each centre.
    pub sample_per_centre: usize,
    /// How often prices move between two computations of distances.
    pub price_steps: usize,
    /// Share of the way to its fixed point that a price moves in a step.
    pub price_damping: f32,
    /// Rounds of moving the two centres of a leaf that is cut in two while vectors are clustered; lists that are too long afterwards are cut
    /// in the default number of rounds.
    pub cut_rounds: usize,
    /// Rounds in which rows choose among all heads nearby and heads move to the means of their rows. Heads that are
    /// vectors take none.
    pub refinements: usize,
    /// How far a row looks for a nearer head meanwhile.
    pub refine_width: FilingWidth,
    /// What becomes a head.
    pub heads: HeadKind,
    /// Seed of every random choice.
    pub seed: u64,
}

impl ClusterParams {
    /// The usual parameters, for a number of lists.
    pub fn new(lists: usize) -> ClusterParams {
        ClusterParams {
            lists,
            branching: measured::BRANCHING,
            balance: measured::BALANCE,
            rounds: measured::ROUNDS,
            sample_per_centre: measured::SAMPLE_PER_CENTRE,
            price_steps: measured::PRICE_STEPS,
            price_damping: measured::PRICE_DAMPING,
            cut_rounds: measured::CUT_ROUNDS,
            refinements: measured::REFINEMENTS,
            refine_width: FilingWidth { around: measured::REFINE_AROUND, probed: measured::REFINE_PROBED },
            heads: HeadKind::Means,
            seed: 0,
        }
    }
}

/// A run of neighbouring heads, about [`BLOCK_HEADS`] of them, that are filed together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// Numbers of the heads.
    pub heads: Range<u32>,
    /// The mean of its heads, as a row.
    pub center: Vec<u8>,
}

/// Heads in a block, roughly: from half of it to one and a half times.
pub const BLOCK_HEADS: usize = 64;

/// Lists found by [`cluster`], in tree order: neighbouring numbers are close in space.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clustering {
    /// Head rows, back to back, of the type and dimension of the input.
    pub heads: Vec<u8>,
    /// Number of heads.
    pub count: u32,
    /// Blocks in order, covering every head once.
    pub blocks: Vec<Block>,
    /// For each input row the leaf it was put in, which holds at least that row. It is near the row's nearest
    /// head but need not be it: filing decides.
    pub leaf_of_row: Vec<u32>,
}

/// The stop flag was raised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("stopped on request")]
pub struct Stopped;
