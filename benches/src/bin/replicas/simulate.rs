//! A search with exact arithmetic, played back for every number of lists at once.
use rayon::ThreadPool;
use rayon::prelude::*;
use spandrel_builder::Rows;
use spandrel_builder::cluster::Clustering;
use spandrel_index::kernels::{BlockKernel, Operation};

use crate::data::{Data, K};
use crate::lists::Lists;

/// Most lists a query may read.
const LISTS_MAX: usize = 1024;
/// Queries ranked together.
const CHUNK_QUERIES: usize = 16;

/// For each query its nearest heads, nearest first.
pub(crate) struct Ranking {
    /// Heads kept for each query.
    pub(crate) depth: usize,
    /// `depth` heads for each query: squared distance and head.
    nearest: Vec<(f32, u32)>,
}

impl Ranking {
    pub(crate) fn new(data: &Data, clustering: &Clustering, pool: &ThreadPool) -> Ranking {
        let queries = data.queries();
        let kernel = BlockKernel::new(queries.dtype, queries.dim);
        let heads = kernel.pack_right(&clustering.heads);
        let depth = LISTS_MAX.min(heads.len());
        let chunks = pool.install(|| {
            let chunks = queries.bytes.par_chunks(CHUNK_QUERIES * queries.row_bytes());
            chunks
                .map(|rows| rank(&kernel, Rows { bytes: rows, ..queries }, &heads, depth))
                .collect::<Vec<_>>()
        });
        Ranking { depth, nearest: chunks.concat() }
    }

    pub(crate) fn of(&self, query: usize) -> &[(f32, u32)] {
        &self.nearest[query * self.depth..(query + 1) * self.depth]
    }
}

fn rank(
    kernel: &BlockKernel,
    queries: Rows<'_>,
    heads: &spandrel_index::kernels::RightRows,
    depth: usize,
) -> Vec<(f32, u32)> {
    let left = kernel.pack_left(queries.bytes);
    let mut scores = vec![0.0; left.len() * heads.len()];
    kernel.scores(Operation::SquaredL2, left.all(), heads.all(), &mut scores);
    let by_distance = |a: &(f32, u32), b: &(f32, u32)| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1));
    let mut ranked = Vec::with_capacity(left.len() * depth);
    for scores in scores.chunks_exact(heads.len()) {
        let mut nearest: Vec<(f32, u32)> = scores.iter().copied().zip(0..).collect();
        nearest.select_nth_unstable_by(depth - 1, by_distance);
        nearest.truncate(depth);
        nearest.sort_unstable_by(by_distance);
        ranked.extend(nearest);
    }
    ranked
}

/// What reaching a recall takes, as means over the queries.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Point {
    /// Lists allowed.
    pub(crate) lists: usize,
    /// Lists read.
    pub(crate) lists_mean: f64,
    /// Vectors scanned, replicas counted.
    pub(crate) scanned: f64,
    /// Thousands of bytes read.
    pub(crate) kilobytes: f64,
}

/// One query played back.
struct Track {
    /// Ranks of the lists in which the nearest vectors are first seen, ascending, at most [`K`].
    found: Vec<u32>,
    /// Ratio of each head's true distance to that of the nearest head.
    ratios: Vec<f32>,
    /// Vectors and bytes of the lists up to each rank, that rank excluded.
    scanned: Vec<u32>,
    bytes: Vec<u64>,
}

/// Recall and reading by number of lists.
pub(crate) struct Curve {
    tracks: Vec<Track>,
    depth: usize,
}

impl Curve {
    pub(crate) fn new(data: &Data, ranking: &Ranking, lists: &Lists) -> Curve {
        let mut rank_of_list = std::collections::HashMap::new();
        let tracks = (0..data.queries().len()).map(|query| {
            let nearest = ranking.of(query);
            rank_of_list.clear();
            rank_of_list.extend(nearest.iter().map(|&(_, list)| list).zip(0_u32..));
            let first_seen =
                |&row: &u32| lists.of(row).iter().filter_map(|list| rank_of_list.get(list)).min();
            let mut found: Vec<u32> = data.hits(query).iter().filter_map(first_seen).copied().collect();
            found.sort_unstable();
            found.truncate(K);
            let (mut scanned, mut bytes) = (vec![0], vec![0]);
            for (at, &(_, list)) in nearest.iter().enumerate() {
                scanned.push(scanned[at] + lists.length(list) as u32); // CAST: lists are short
                bytes.push(bytes[at] + lists.read_bytes(list) as u64); // CAST: widening
            }
            let least = nearest[0].0.max(f32::MIN_POSITIVE);
            let ratios = nearest.iter().map(|&(distance, _)| (distance.max(0.0) / least).sqrt()).collect();
            Track { found, ratios, scanned, bytes }
        });
        Curve { tracks: tracks.collect(), depth: ranking.depth }
    }

    /// The fewest lists that reach a recall, if any number does.
    pub(crate) fn at_recall(&self, recall: f64) -> Option<Point> {
        let enough = |&lists: &usize| self.point(|_| lists).0 >= recall;
        let mut fewest = 1;
        let mut most = self.depth;
        if !enough(&most) {
            return None;
        }
        while fewest < most {
            let middle = fewest.midpoint(most);
            if enough(&middle) { most = middle } else { fewest = middle + 1 }
        }
        Some(Point { lists: fewest, ..self.point(|_| fewest).1 })
    }

    /// What a recall takes, between the number of lists that reaches it and the one before; `lists` is the former.
    pub(crate) fn between(&self, recall: f64) -> Option<Point> {
        let after = self.at_recall(recall)?;
        if after.lists == 1 {
            return Some(after);
        }
        let [(low, from), (high, to)] = [after.lists - 1, after.lists].map(|lists| self.point(|_| lists));
        let share = (recall - low) / (high - low);
        let mean = |from: f64, to: f64| from + share * (to - from);
        Some(Point {
            lists: after.lists,
            lists_mean: mean(from.lists_mean, to.lists_mean),
            scanned: mean(from.scanned, to.scanned),
            kilobytes: mean(from.kilobytes, to.kilobytes),
        })
    }

    /// The least epsilon that reaches a recall while no query reads more than `cap` lists.
    pub(crate) fn with_epsilon(&self, recall: f64, cap: usize) -> Option<(f32, Point)> {
        let cap = cap.min(self.depth);
        let at = |epsilon: f32| {
            self.point(|track: &Track| track.ratios[..cap].partition_point(|&ratio| ratio <= 1.0 + epsilon))
        };
        let (mut low, mut high) = (0.0_f32, 4.0_f32);
        if at(high).0 < recall {
            return None;
        }
        for _ in 0..20 {
            let middle = f32::midpoint(low, high);
            if at(middle).0 >= recall { high = middle } else { low = middle }
        }
        Some((high, at(high).1))
    }

    /// Recall and cost when each query reads its own number of lists.
    fn point(&self, lists_of: impl Fn(&Track) -> usize) -> (f64, Point) {
        let (mut hits, mut lists, mut scanned, mut bytes) = (0_usize, 0_usize, 0_u64, 0_u64);
        for track in &self.tracks {
            let count = lists_of(track);
            hits += track.found.partition_point(|&rank| (rank as usize) < count);
            lists += count;
            scanned += u64::from(track.scanned[count]);
            bytes += track.bytes[count];
        }
        let queries = self.tracks.len() as f64;
        let point = Point {
            lists: 0,
            lists_mean: lists as f64 / queries,
            scanned: scanned as f64 / queries,
            kilobytes: bytes as f64 / queries / 1000.0,
        };
        (hits as f64 / (queries * K as f64), point)
    }
}
