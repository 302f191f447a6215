//! Building the graph: in parallel, and the same for any number of threads.
//!
//! Nodes are inserted in a seeded random order, those of the upper layers first, in batches of fixed
//! size. The neighbours of a whole batch are searched in parallel on the graph as it stood before the
//! batch; its members find each other by comparing all of them. Then the batch is linked in, in parallel
//! over the nodes that receive links ([`link`](super::link)). Neither phase sees what another thread does.
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use super::beam::{BeamSize, key_of, node_of, score_of};
use super::duplicates::Classes;
use super::link::{NewNode, link_batch, select};
use super::links::{Layer, Links, NONE};
use super::{Heads, HnswGraph, Scratch, repair};

/// Nodes inserted together. Part of what determines the graph.
const BATCH: usize = 256;

/// Links per node in upper layers that a graph may have.
pub(super) const M_RANGE: std::ops::RangeInclusive<usize> = 2..=256;

/// How a graph is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HnswParams {
    /// Links per node in upper layers, 2 to 256 (values outside are brought inside); layer 0 has twice as
    /// many places.
    pub m: usize,
    /// Candidates kept while searching the neighbours of a new node.
    pub ef_construction: usize,
    /// Of the insertion order.
    pub seed: u64,
}

impl Default for HnswParams {
    /// Decision 005 has half and twice of both.
    fn default() -> HnswParams {
        HnswParams { m: 16, ef_construction: 120, seed: 0 }
    }
}

/// A build that was told to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("building the graph over the heads was stopped")]
pub struct Stopped;

impl HnswGraph {
    /// Builds the graph over all heads. The result depends on the heads, the parameters and the distance
    /// kernel alone, not on the pool.
    ///
    /// Every head can be reached from the entry point on layer 0, or equals one that can. `progress` hears how many heads are in.
    ///
    /// # Errors
    /// [`Stopped`] soon after `stop` becomes true.
    pub fn build(
        heads: &Heads,
        params: &HnswParams,
        pool: &rayon::ThreadPool,
        progress: &(dyn Fn(u64) + Sync),
        stop: &AtomicBool,
    ) -> Result<HnswGraph, Stopped> {
        pool.install(|| {
            let classes = Classes::find(heads);
            let mut builder = Builder::new(heads, params, &classes);
            let node_count = builder.order.len();
            for start in (0..node_count).step_by(BATCH) {
                if stop.load(Ordering::Relaxed) {
                    return Err(Stopped);
                }
                let end = node_count.min(start + BATCH);
                builder.insert(start..end);
                progress(end as u64);
            }
            let mut graph = builder.graph;
            repair::connect(heads, &mut graph, &classes.representatives);
            graph.copies = classes.copies;
            progress(heads.len() as u64);
            Ok(graph)
        })
    }
}

struct Builder<'a> {
    heads: &'a Heads,
    ef: usize,
    /// The representatives in insertion order: the head of each rank.
    order: Vec<u32>,
    graph: HnswGraph,
    /// Nodes in each upper layer, lowest first.
    upper_counts: Vec<usize>,
    /// One per thread of the pool.
    scratch: Vec<Mutex<Scratch>>,
}

impl<'a> Builder<'a> {
    fn new(heads: &'a Heads, params: &HnswParams, classes: &Classes) -> Builder<'a> {
        let m = params.m.clamp(*M_RANGE.start(), *M_RANGE.end());
        let mut order = classes.representatives.clone();
        order.shuffle(&mut ChaCha8Rng::seed_from_u64(params.seed));
        let mut upper_counts = Vec::new();
        let mut above = order.len() / m;
        while above >= m {
            upper_counts.push(above);
            above /= m;
        }
        let graph = HnswGraph {
            m,
            count: heads.count(),
            entry: order.first().copied().unwrap_or(NONE),
            ranked: order[..upper_counts.first().copied().unwrap_or(0)].to_vec(),
            upper: upper_counts.iter().map(|&count| Links::new(count, m)).collect(),
            base: Links::new(heads.len(), 2 * m),
            copies: Vec::new(),
        };
        let threads = rayon::current_num_threads();
        Builder {
            heads,
            ef: params.ef_construction.max(m),
            order,
            graph,
            upper_counts,
            scratch: (0..threads).map(|_| Mutex::default()).collect(),
        }
    }

    /// Inserts the nodes of a range of ranks; all lower ranks are in.
    fn insert(&mut self, ranks: Range<usize>) {
        let placed: Vec<Placed> =
            ranks.clone().into_par_iter().with_min_len(4).map(|rank| self.place(rank, &ranks)).collect();
        for level in 0..self.upper_counts.len() {
            let count = self.upper_counts[level];
            let batch: Vec<NewNode<'_>> = ranks
                .clone()
                .zip(&placed)
                .filter(|(rank, _)| *rank < count)
                .map(|(rank, p)| NewNode { node: rank as u32, chosen: &p.upper[level] }) // CAST: below the head count
                .collect();
            if batch.is_empty() {
                break;
            }
            link_batch(self.heads, &mut self.graph.upper[level], Some(&self.graph.ranked), &batch);
        }
        let batch: Vec<NewNode<'_>> =
            ranks.zip(&placed).map(|(rank, p)| NewNode { node: self.order[rank], chosen: &p.base }).collect();
        link_batch(self.heads, &mut self.graph.base, None, &batch);
    }

    /// Chooses the neighbours of one node of the batch `ranks`, in every layer that will hold it.
    fn place(&self, rank: usize, ranks: &Range<usize>) -> Placed {
        let thread = rayon::current_thread_index().unwrap_or(0);
        // A poisoned lock means that a search panicked; its scratch is reset before every use.
        let mut scratch = self.scratch[thread].lock().unwrap_or_else(|e| e.into_inner());
        let scratch = &mut *scratch;
        let row = self.heads.row(self.order[rank]);
        let mates = &self.order[ranks.clone()];
        let mut mate_scores = vec![0.0; mates.len()];
        self.heads.kernel().score_picks(row, self.heads.rows(), mates, &mut mate_scores);
        // Candidates of one layer: what the walk found and the other nodes of the batch in that layer.
        let candidates = |walked: &[u64], count: usize, name: &dyn Fn(usize) -> u32| {
            let mut keys: Vec<u64> = walked.iter().map(|&k| key_of(score_of(k), node_of(k))).collect();
            for (mate, &score) in ranks.clone().zip(&mate_scores).filter(|(m, _)| *m < count && *m != rank) {
                keys.push(key_of(score, name(mate)));
            }
            keys.sort_unstable();
            keys.truncate(self.ef);
            keys
        };
        let top = self.upper_counts.iter().filter(|&&count| rank < count).count();
        let empty = ranks.start == 0;
        scratch.keys.clear();
        if !empty {
            self.graph.descend(self.heads, row, top, scratch);
        }
        let mut upper = vec![Vec::new(); top];
        for level in (0..top).rev() {
            if !empty {
                self.graph.walk_upper(self.heads, row, level, self.ef, scratch);
            }
            let name = |mate: usize| mate as u32; // CAST: below the head count
            let keys = candidates(&scratch.keys, self.upper_counts[level], &name);
            upper[level] = select(self.heads, self.graph.upper_layer(level), &keys, self.graph.m);
        }
        scratch.visited.reset(self.heads.len());
        scratch.beam.reset(BeamSize::of(self.ef));
        self.graph.seed_base(scratch);
        scratch.walk(self.heads, self.graph.base_layer(), row, &mut || true);
        let keys = candidates(scratch.beam.keys(), usize::MAX, &|mate| self.order[mate]);
        let base = Layer { links: &self.graph.base, names: None };
        let base = select(self.heads, base, &keys, self.graph.m);
        Placed { base, upper }
    }
}

/// The neighbours chosen for a node.
struct Placed {
    base: Vec<u64>,
    /// By upper layer, lowest first, for the layers that hold the node.
    upper: Vec<Vec<u64>>,
}

#[cfg(test)]
mod tests {
    use super::super::testing::{build, clustered};
    use super::*;
    use crate::DType;

    /// Heads that can be reached from the entry point on layer 0, and their copies.
    fn reached(graph: &HnswGraph) -> usize {
        let mut stack = vec![graph.entry];
        let mut seen = vec![false; graph.count as usize];
        let mut count = 0;
        while let Some(node) = stack.pop() {
            if !std::mem::replace(&mut seen[node as usize], true) {
                count += 1;
                stack.extend(graph.base.of(node));
            }
        }
        assert!(graph.copies.iter().all(|c| seen[c.representative as usize] && !seen[c.head as usize]));
        count + graph.copies.len()
    }

    #[test]
    fn the_graph_is_the_same_for_any_number_of_threads() {
        for dtype in [DType::U8, DType::F32] {
            let mut rows = clustered(dtype, 12, 2500, 1);
            rows.extend_from_within(..200 * dtype.row_bytes(12));
            let heads = Heads::from_rows(dtype, 12, &rows).unwrap();
            let params = HnswParams { m: 8, ef_construction: 40, seed: 5 };
            let one = build(&heads, &params, 1).to_bytes();
            for threads in [2, 4] {
                assert!(build(&heads, &params, threads).to_bytes() == one, "{threads} threads");
            }
            let other = build(&heads, &HnswParams { seed: 6, ..params }, 1).to_bytes();
            assert!(other != one, "the seed counts");
        }
    }

    #[test]
    fn every_head_can_be_reached() {
        // Few links and tight clusters, so that pruning alone would lose some.
        for (m, dim) in [(2, 1), (2, 16), (3, 3)] {
            let mut rows = clustered(DType::U8, dim, 2000, 1);
            rows.extend_from_within(..500 * dim);
            let heads = Heads::from_rows(DType::U8, dim, &rows).unwrap();
            let graph = build(&heads, &HnswParams { m, ef_construction: 8, seed: 0 }, 2);
            assert_eq!(reached(&graph), heads.len(), "m {m}, dim {dim}");
        }
    }

    #[test]
    fn stops_and_reports() {
        let heads = Heads::from_rows(DType::U8, 2, &clustered(DType::U8, 2, 2000, 1)).unwrap();
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        let stop = AtomicBool::new(false);
        let params = HnswParams::default();
        let progress = |done: u64| stop.store(done >= 512, Ordering::Relaxed);
        assert_eq!(HnswGraph::build(&heads, &params, &pool, &progress, &stop).unwrap_err(), Stopped);
        stop.store(false, Ordering::Relaxed);
        let last = std::sync::atomic::AtomicU64::new(0);
        let progress = |done: u64| assert!(last.swap(done, Ordering::Relaxed) <= done);
        HnswGraph::build(&heads, &params, &pool, &progress, &stop).unwrap();
        assert_eq!(last.into_inner(), 2000);
    }
}
