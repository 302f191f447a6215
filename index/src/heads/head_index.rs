//! The choice between the ways of finding heads.
use super::nearest::NearestHeads;
use super::{HeadQuery, HeadScores, Heads, HnswGraph, PackedHeads, Scratch, flat};
use crate::DType;

/// How the nearest heads are found.
#[derive(Debug)]
pub enum HeadIndex {
    /// Every head is scored: exact, and no memory beyond the rows.
    Flat,
    /// Every head is scored, from heads packed at open: exact, and faster than by rows.
    Packed(PackedHeads),
    /// A graph is walked.
    Graph(HnswGraph),
}

/// The kinds of [`HeadIndex`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeadIndexKind {
    /// [`HeadIndex::Flat`] or [`HeadIndex::Packed`].
    Flat,
    /// [`HeadIndex::Graph`].
    Graph,
}

/// Heads of floats up to which the flat scan is chosen: at 4 000 heads of 128 bytes and k = 100 scan and graph both
/// take 25 us, for larger k the scan is ahead further up, for smaller k less far.
const FLAT_COUNT_MAX: usize = 4000;

/// Heads of integers up to which it is chosen, since they can be packed: at 14 000 heads of 128 bytes and k = 64 both
/// take 35 us, at 40 000 heads and k = 160 both take 75 us.
const PACKED_COUNT_MAX: usize = 16_000;

/// Bytes of rows up to which it is chosen. Longer rows favour the graph, which reads a quarter of them.
const FLAT_BYTES_MAX: usize = 4 << 20;

/// Heads so few that a graph reads most of them anyway.
const FLAT_COUNT_ALWAYS: usize = 1000;

/// One in this many heads: a search for more scores all of them. Following the graph that far scores most of them anyway.
const FLAT_SHARE: usize = 8;

impl HeadIndex {
    /// The kind that answers faster for `count` heads of `dim` elements, by measurement.
    pub fn preferred(dtype: DType, dim: usize, count: usize) -> HeadIndexKind {
        let count_max = if dtype.is_integer() { PACKED_COUNT_MAX } else { FLAT_COUNT_MAX };
        let few = count <= count_max && count * dtype.row_bytes(dim) <= FLAT_BYTES_MAX;
        if few || count <= FLAT_COUNT_ALWAYS { HeadIndexKind::Flat } else { HeadIndexKind::Graph }
    }

    /// The flat scan of these heads, packed where they are of integers.
    pub(crate) fn flat(heads: &Heads) -> HeadIndex {
        if heads.dtype().is_integer() { HeadIndex::Packed(PackedHeads::new(heads)) } else { HeadIndex::Flat }
    }

    /// The kind of this index.
    pub fn kind(&self) -> HeadIndexKind {
        match self {
            HeadIndex::Flat | HeadIndex::Packed(_) => HeadIndexKind::Flat,
            HeadIndex::Graph(_) => HeadIndexKind::Graph,
        }
    }

    /// Bytes allocated, without the heads.
    pub(crate) fn memory_bytes(&self) -> usize {
        match self {
            HeadIndex::Flat => 0,
            HeadIndex::Packed(packed) => packed.memory_bytes(),
            HeadIndex::Graph(graph) => graph.memory_bytes(),
        }
    }

    /// The heads nearest to the query, into `out`, ascending by (squared distance, head number): `k` of
    /// them unless there are fewer heads. Returns the distances computed. More than an eighth of the heads of a graph
    /// are found by scoring all.
    ///
    /// # Panics
    /// When the index was made for another number of heads, or the query is not a row of theirs.
    pub fn search(
        &self,
        heads: &Heads,
        query: &HeadQuery<'_>,
        scratch: &mut Scratch,
        out: &mut Vec<(f32, u32)>,
    ) -> u32 {
        self.search_while(heads, query, scratch, out, &mut || true)
    }

    /// Scores all heads for several queries, rows of theirs back to back, if they are packed: whether they are. A scan of packed heads takes
    /// its time to read them, which is done once for all queries.
    pub fn score_together(&self, rows: &[u8], out: &mut HeadScores) -> bool {
        let HeadIndex::Packed(packed) = self else { return false };
        packed.score(rows, out);
        true
    }

    /// As [`HeadIndex::search`]; `go_on` is asked every few dozen steps of a walk, every MiB of rows and between the pieces
    /// of a sort; packed heads are so few bytes that their scores are computed at once. Once it has said no, what is in `out` is of
    /// no use.
    ///
    /// # Panics
    /// As [`HeadIndex::search`].
    pub fn search_while(
        &self,
        heads: &Heads,
        query: &HeadQuery<'_>,
        scratch: &mut Scratch,
        out: &mut Vec<(f32, u32)>,
        go_on: &mut dyn FnMut() -> bool,
    ) -> u32 {
        match self {
            HeadIndex::Flat => flat::search(heads, query, scratch, out, go_on),
            HeadIndex::Packed(packed) => packed.search(heads, query, scratch, out, go_on),
            HeadIndex::Graph(graph) if query.k <= heads.found() as usize / FLAT_SHARE => {
                graph.search_while(heads, query, scratch, out, go_on)
            }
            HeadIndex::Graph(_) => {
                let computed = flat::search(heads, query, scratch, out, go_on);
                // Four bytes a head, which walks do not need.
                scratch.nearest = NearestHeads::default();
                computed
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::HnswParams;
    use super::super::testing::{build, clustered, found};
    use super::*;

    #[test]
    fn many_heads_of_a_graph_are_found_by_scoring_all() {
        let heads = Heads::from_rows(DType::U8, 8, &clustered(DType::U8, 8, 2000, 1)).unwrap();
        let index = HeadIndex::Graph(build(&heads, &HnswParams::default(), 1));
        let row = &clustered(DType::U8, 8, 1, 2)[..];
        let (mut scratch, mut out) = (Scratch::new(), Vec::new());
        let mut search = |k| {
            let query = HeadQuery { row, k, ef: k };
            let computed = index.search(&heads, &query, &mut scratch, &mut out);
            (computed, out.clone(), scratch.memory_bytes())
        };
        let (few, ..) = search(250);
        assert!(few < 2000, "{few}");
        let before = search(250).2;
        for k in [251, 2000, 5000] {
            let (computed, got, memory) = search(k);
            assert_eq!(computed, 2000);
            assert_eq!(got, found(&HeadIndex::Flat, &heads, &HeadQuery { row, k, ef: 0 }));
            assert!(memory <= before, "{memory} bytes kept, {before} before");
        }
    }

    #[test]
    fn a_search_stops_within_a_piece_once_told() {
        let rows = clustered(DType::U8, 128, 20_000, 1);
        let heads = Heads::from_rows(DType::U8, 128, &rows).unwrap();
        let graph = build(&heads, &HnswParams { ef_construction: 20, ..HnswParams::default() }, 2);
        let row = &clustered(DType::U8, 128, 1, 2)[..];
        // By a walk, by scoring all since most are wanted, and by a flat scan.
        for (index, k) in [(HeadIndex::Graph(graph), 2000), (HeadIndex::Flat, 10)]
            .iter()
            .flat_map(|(index, k)| [(index, *k), (index, 20_000)])
        {
            let (mut scratch, mut out) = (Scratch::new(), Vec::new());
            let mut search = |asks: u32| {
                let mut asked = 0;
                let query = HeadQuery { row, k, ef: k };
                index.search_while(&heads, &query, &mut scratch, &mut out, &mut || {
                    asked += 1;
                    asked < asks
                })
            };
            let (all, first, second) = (search(u32::MAX), search(1), search(2));
            // A batch follows four heads of 32 links, a piece has 8192 rows.
            assert!(
                first <= 8192 && second <= 2 * 8192 && second > first && second < all,
                "{k}: {first}, {second} of {all}"
            );
        }
    }

    #[test]
    fn a_graph_is_preferred_for_many_heads() {
        use HeadIndexKind::{Flat, Graph};
        let preferred = |dim, count| HeadIndex::preferred(DType::F32, dim, count);
        assert_eq!([0, 1, 4000, 4001].map(|n| preferred(32, n)), [Flat, Flat, Flat, Graph]);
        assert_eq!([1000, 1001, 4000].map(|n| preferred(4096, n)), [Flat, Graph, Graph]);
        let preferred = |dim, count| HeadIndex::preferred(DType::U8, dim, count);
        assert_eq!([16_000, 16_001].map(|n| preferred(128, n)), [Flat, Graph]);
        assert_eq!([4096, 4097].map(|n| preferred(1024, n)), [Flat, Graph]);
    }
}
