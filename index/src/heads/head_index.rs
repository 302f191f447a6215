//! The choice between the two ways of finding heads.
use super::{HeadQuery, Heads, HnswGraph, Scratch, flat};
use crate::DType;

/// How the nearest heads are found.
#[derive(Debug)]
pub enum HeadIndex {
    /// Every head is scored: exact, and no memory beyond the rows.
    Flat,
    /// A graph is walked.
    Graph(HnswGraph),
}

/// The kinds of [`HeadIndex`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeadIndexKind {
    /// [`HeadIndex::Flat`].
    Flat,
    /// [`HeadIndex::Graph`].
    Graph,
}

/// Bytes of rows up to which the flat scan is chosen.
const FLAT_BYTES_MAX: usize = 1 << 19;

impl HeadIndex {
    /// The kind that answers faster for `count` heads.
    pub fn preferred(dtype: DType, dim: usize, count: usize) -> HeadIndexKind {
        if count.saturating_mul(dtype.row_bytes(dim)) <= FLAT_BYTES_MAX || count <= 1000 {
            HeadIndexKind::Flat
        } else {
            HeadIndexKind::Graph
        }
    }

    /// The kind of this index.
    pub fn kind(&self) -> HeadIndexKind {
        match self {
            HeadIndex::Flat => HeadIndexKind::Flat,
            HeadIndex::Graph(_) => HeadIndexKind::Graph,
        }
    }

    /// The lower-case name, as recorded in manifests and figures.
    pub fn name(&self) -> &'static str {
        match self {
            HeadIndex::Flat => "flat",
            HeadIndex::Graph(_) => "hnsw",
        }
    }

    /// Bytes allocated, without the heads.
    pub fn memory_bytes(&self) -> usize {
        match self {
            HeadIndex::Flat => 0,
            HeadIndex::Graph(graph) => graph.memory_bytes(),
        }
    }

    /// The heads nearest to the query, into `out`, ascending by (squared distance, head number): `k` of
    /// them unless there are fewer heads. Returns the distances computed.
    ///
    /// # Panics
    /// When the index is not over as many heads, or the query is not a row of theirs.
    pub fn search(
        &self,
        heads: &Heads,
        query: &HeadQuery<'_>,
        scratch: &mut Scratch,
        out: &mut Vec<(f32, u32)>,
    ) -> u32 {
        match self {
            HeadIndex::Flat => flat::search(heads, query, scratch, out),
            HeadIndex::Graph(graph) => graph.search(heads, query, scratch, out),
        }
    }
}
