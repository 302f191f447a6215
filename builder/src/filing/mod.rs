//! Filing: every vector's nearest head and the further lists it is copied to.
//!
//! Works on blocks: the rows of one block against the heads of the blocks around it, as matrix products.
//! Squared Euclidean distance throughout; nothing here is random or depends on threads.
mod filer;
mod nearest;
mod neighbours;
mod rule;

pub use filer::{Filer, FilerScratch, HeadBlocks, NearestHeads};
pub use neighbours::neighbour_blocks;
pub use rule::{ReplicaRule, RuleScratch};

use crate::measured::filing as measured;

/// How vectors are filed.
#[derive(Debug, Clone, Copy)]
pub struct FilingParams {
    /// How replicas are chosen.
    pub rule: ReplicaRule,
    /// Most lists a vector is in, its primary counted: SPANN's "8 copies" is 8. At least 1.
    pub copies_max: usize,
    /// Nearest heads that the rule chooses from, 64 in SPANN.
    pub nearest: usize,
}

impl FilingParams {
    /// Whether more than the nearest head matters.
    fn needs_neighbours(&self) -> bool {
        self.rule != ReplicaRule::None && self.copies_max > 1
    }
}

/// How far rows look for their nearest heads.
#[derive(Debug, Clone, Copy)]
pub struct FilingWidth {
    /// Blocks around a block that its rows may look into, itself counted.
    pub around: usize,
    /// Blocks whose heads a row is compared with, nearest first.
    pub probed: usize,
}

impl FilingWidth {
    /// The width that files vectors under at most `copies_max` lists well, on descriptors and embeddings.
    ///
    /// Few copies need the nearest heads alone, which lie in the nearest blocks. A rule that chooses eight of
    /// the 64 nearest needs those complete.
    pub fn of(copies_max: usize) -> FilingWidth {
        if copies_max > measured::FEW_COPIES {
            FilingWidth { around: measured::WIDE_AROUND, probed: measured::WIDE_PROBED }
        } else {
            FilingWidth { around: measured::NARROW_AROUND, probed: measured::NARROW_PROBED }
        }
    }
}

/// One vector in one list.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FiledRow {
    /// The vector's place among the rows given.
    pub row: u32,
    /// The head of the list.
    pub head: u32,
    /// The squared distance from the vector to that head.
    pub distance: f32,
    /// Whether this is the list the vector belongs to; true once for every row.
    pub primary: bool,
}
