//! The graph and its search.
use super::beam::{BeamSize, key_of, node_of, score_of};
use super::duplicates::{Twin, with_copies};
use super::links::{Layer, Links};
use super::{HeadQuery, Heads, Scratch};

/// A hierarchical navigable small world graph over heads (Malkov and Yashunin, 2016, arXiv 1603.09320).
///
/// Layer 0 holds every head with up to `2m` links; each layer above holds about every `m`-th node of the
/// one below, with up to `m` links. Nodes of upper layers are numbered by rank: rank `r` is the same head
/// in every layer that has it, so walking down needs no table.
#[derive(Debug)]
pub struct HnswGraph {
    pub(super) m: usize,
    /// Number of heads.
    pub(super) count: u32,
    /// Head at which every walk on the base layer may begin; `NONE` when there is no head.
    pub(super) entry: u32,
    /// Head of each rank, for the ranks of the lowest upper layer.
    pub(super) ranked: Vec<u32>,
    /// Upper layers, lowest first; each holds a prefix of the ranks.
    pub(super) upper: Vec<Links>,
    pub(super) base: Links,
    /// Heads that equal another one: they are no nodes, and found through it.
    pub(super) copies: Vec<Twin>,
}

impl HnswGraph {
    /// Number of heads the graph is over.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Bytes allocated.
    pub fn memory_bytes(&self) -> usize {
        let upper: usize = self.upper.iter().map(Links::memory_bytes).sum();
        self.base.memory_bytes()
            + upper
            + self.ranked.capacity() * 4
            + self.copies.capacity() * size_of::<Twin>()
    }

    /// The heads nearest to the query, into `out`, ascending by (squared distance, head number): `k` of
    /// them unless there are fewer heads. Returns the distances computed.
    ///
    /// # Panics
    /// When the graph has another number of nodes than there are heads, or the query is not a row of theirs.
    pub(crate) fn search(
        &self,
        heads: &Heads,
        query: &HeadQuery<'_>,
        scratch: &mut Scratch,
        out: &mut Vec<(f32, u32)>,
    ) -> u32 {
        self.search_while(heads, query, scratch, out, &mut || true)
    }

    /// As [`HnswGraph::search`], as far as it came while `go_on` said yes.
    pub(super) fn search_while(
        &self,
        heads: &Heads,
        query: &HeadQuery<'_>,
        scratch: &mut Scratch,
        out: &mut Vec<(f32, u32)>,
        go_on: &mut dyn FnMut() -> bool,
    ) -> u32 {
        assert_eq!(heads.found(), self.count, "a graph goes with the heads it was built over");
        out.clear();
        let k = query.k.min(heads.found() as usize);
        if k == 0 {
            return 0;
        }
        let mut computed = self.descend(heads, query.row, 0, scratch);
        scratch.visited.reset(heads.len());
        scratch.beam.reset(BeamSize { kept: query.ef.max(k), followed: query.ef, wanted: k });
        self.seed_base(scratch);
        computed += scratch.walk(heads, self.base_layer(), query.row, go_on);
        let keys = scratch.beam.keys();
        if self.copies.is_empty() {
            out.extend(keys.iter().take(k).map(|&key| (score_of(key), node_of(key))));
        } else {
            with_copies(keys, &self.copies, k, out);
        }
        computed
    }

    pub(super) fn base_layer(&self) -> Layer<'_> {
        Layer { links: &self.base, names: None }
    }

    pub(super) fn upper_layer(&self, level: usize) -> Layer<'_> {
        Layer { links: &self.upper[level], names: Some(&self.ranked) }
    }

    /// Walks down the upper layers above `floor` (counted in `upper`), keeping one candidate, which it
    /// leaves in `scratch.keys` by rank, or by head when there is no upper layer at all.
    pub(super) fn descend(&self, heads: &Heads, row: &[u8], floor: usize, scratch: &mut Scratch) -> u32 {
        let score = heads.kernel().score(row, heads.row(self.entry));
        let start = if self.ranked.is_empty() { self.entry } else { 0 };
        scratch.keys.clear();
        scratch.keys.push(key_of(score, start));
        let mut computed = 1;
        for level in (floor..self.upper.len()).rev() {
            computed += self.walk_upper(heads, row, level, 1, scratch);
        }
        computed
    }

    /// Walks one upper layer from `scratch.keys` with `ef` candidates, and leaves them there.
    pub(super) fn walk_upper(
        &self,
        heads: &Heads,
        row: &[u8],
        level: usize,
        ef: usize,
        scratch: &mut Scratch,
    ) -> u32 {
        scratch.visited.reset(self.ranked.len());
        scratch.beam.reset(BeamSize::of(ef));
        seed(scratch, |rank| rank);
        let computed = scratch.walk(heads, self.upper_layer(level), row, &mut || true);
        scratch.keys.clear();
        scratch.keys.extend_from_slice(scratch.beam.keys());
        computed
    }

    /// Starts the beam of the base layer from `scratch.keys`.
    pub(super) fn seed_base(&self, scratch: &mut Scratch) {
        if self.ranked.is_empty() {
            seed(scratch, |head| head);
        } else {
            seed(scratch, |rank| self.ranked[rank as usize]);
        }
    }
}

/// Starts the beam from `scratch.keys`, renaming their nodes.
fn seed(scratch: &mut Scratch, name: impl Fn(u32) -> u32) {
    for &key in &scratch.keys {
        let node = name(node_of(key));
        if scratch.visited.mark(node) {
            scratch.beam.offer(&[node], &[score_of(key)]);
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::super::testing::{build, clustered, found};
    use super::super::{HeadIndex, HnswParams};
    use super::*;
    use crate::DType;

    /// The share of the true nearest heads that was found, over a few queries.
    fn recall(heads: &Heads, index: &HeadIndex, queries: &[u8], (k, ef): (usize, usize)) -> f64 {
        let (mut hits, mut wanted) = (0, 0);
        for row in queries.chunks(heads.row_bytes()) {
            let query = HeadQuery { row, k, ef };
            let exact = found(&HeadIndex::Flat, heads, &query);
            let worst = exact[exact.len() - 1].0;
            let got = found(index, heads, &query);
            assert_eq!(got.len(), exact.len());
            assert!(got.is_sorted_by(|a, b| a.0 < b.0 || (a.0 == b.0 && a.1 < b.1)), "{got:?}");
            hits += got.iter().filter(|g| g.0 <= worst).count();
            wanted += exact.len();
        }
        hits as f64 / wanted as f64
    }

    #[test]
    fn recall_has_a_floor_for_every_dtype() {
        for dtype in DType::ALL {
            let heads = Heads::from_rows(dtype, 24, &clustered(dtype, 24, 3000, 1)).unwrap();
            let index = HeadIndex::Graph(build(&heads, &HnswParams::default(), 2));
            let queries = clustered(dtype, 24, 50, 2);
            let near = recall(&heads, &index, &queries, (10, 64));
            assert!(near >= 0.97, "{dtype}: recall@10 {near}");
            let many = recall(&heads, &index, &queries, (100, 200));
            assert!(many >= 0.97, "{dtype}: recall@100 {many}");
        }
    }

    #[test]
    fn few_heads_and_any_dimension() {
        for (count, dim) in [(0, 3), (1, 1), (2, 1), (3, 7), (40, 1), (300, 2), (20, 4096)] {
            let heads = Heads::from_rows(DType::I8, dim, &clustered(DType::I8, dim, count, 1)).unwrap();
            let graph = build(&heads, &HnswParams { m: 4, ..HnswParams::default() }, 1);
            let index = HeadIndex::Graph(graph);
            let row = &clustered(DType::I8, dim, 1, 2)[..];
            let all = HeadQuery { row, k: count + 5, ef: 1 };
            assert_eq!(found(&index, &heads, &all), found(&HeadIndex::Flat, &heads, &all));
            assert_eq!(found(&index, &heads, &HeadQuery { row, k: 0, ef: 9 }), []);
        }
    }

    #[test]
    fn every_class_of_equal_heads_is_found() {
        // 30 rows, 100 copies of each, in an order that mixes them; and all rows equal.
        for class_count in [1, 30] {
            let rows = clustered(DType::U8, 16, class_count, 5);
            let classes: Vec<&[u8]> = rows.chunks(16).collect();
            let all: Vec<u8> = (0..3000).flat_map(|i| classes[i * 7 % class_count]).copied().collect();
            let heads = Heads::from_rows(DType::U8, 16, &all).unwrap();
            let index = HeadIndex::Graph(build(&heads, &HnswParams { m: 6, ..HnswParams::default() }, 2));
            for row in classes {
                for k in [1, 64, 3000] {
                    let query = HeadQuery { row, k, ef: 64 };
                    let (got, exact) =
                        (found(&index, &heads, &query), found(&HeadIndex::Flat, &heads, &query));
                    assert_eq!(got, exact, "k {k}");
                }
            }
        }
    }

    #[test]
    fn tight_clusters_far_apart_are_told_apart() {
        // 60 clusters of 100 near rows: links inside a cluster crowd out those between clusters.
        let centres = clustered(DType::U8, 16, 60, 5);
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let near = |centre: &[u8], rng: &mut ChaCha8Rng| -> Vec<u8> {
            centre.iter().map(|&c| c.saturating_add(rng.random_range(0..3))).collect()
        };
        let all: Vec<u8> = (0..6000).flat_map(|i| near(&centres[i % 60 * 16..][..16], &mut rng)).collect();
        let heads = Heads::from_rows(DType::U8, 16, &all).unwrap();
        let index = HeadIndex::Graph(build(&heads, &HnswParams::default(), 2));
        let queries: Vec<u8> = centres.chunks(16).flat_map(|c| near(c, &mut rng)).collect();
        for (k, ef) in [(1, 16), (10, 64), (150, 150)] {
            let share = recall(&heads, &index, &queries, (k, ef));
            assert!(share >= 0.98, "k {k} ef {ef}: recall {share}");
        }
    }

    #[test]
    fn a_search_with_grown_scratch_allocates_nothing() {
        let heads = Heads::from_rows(DType::U8, 8, &clustered(DType::U8, 8, 2000, 1)).unwrap();
        let graph = build(&heads, &HnswParams::default(), 2);
        for index in [HeadIndex::Graph(graph), HeadIndex::Flat] {
            let (mut scratch, mut out) = (Scratch::new(), Vec::new());
            let mut sizes = Vec::new();
            let queries = clustered(DType::U8, 8, 30, 2);
            for row in queries.chunks(8).chain(queries.chunks(8)) {
                index.search(&heads, &HeadQuery { row, k: 50, ef: 80 }, &mut scratch, &mut out);
                sizes.push((scratch.memory_bytes(), out.capacity()));
            }
            assert!(sizes[30..].iter().all(|&s| s == sizes[29]));
        }
    }

    #[test]
    fn memory_is_what_was_promised() {
        let heads = Heads::from_rows(DType::U8, 4, &clustered(DType::U8, 4, 5000, 1)).unwrap();
        let graph = build(&heads, &HnswParams { ef_construction: 20, ..HnswParams::default() }, 2);
        assert_eq!(graph.base.memory_bytes(), 5000 * 128 + 64);
        assert!(graph.memory_bytes() <= 5000 * 133, "{}", graph.memory_bytes());
    }
}
