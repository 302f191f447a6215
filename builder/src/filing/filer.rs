//! All heads of an index, ready to file the rows of any block.
use std::ops::Range;

use rayon::ThreadPool;
use spandrel_index::kernels::{BlockKernel, LeftRows, Operation, PairKernel, RightRows};

use super::nearest::NearestScratch;
use super::rule::RuleScratch;
use super::{FiledRow, FilingParams, FilingWidth, ReplicaRule, neighbour_blocks};
use crate::Rows;

/// Rows filed together: their scores stay in the cache.
const CHUNK_ROWS: usize = 256;

/// Heads cut into blocks: block `b` has the heads from `ends[b - 1]`, or 0, to `ends[b]` and the centre `centers.row(b)`. Regions
/// are cut of blocks likewise; rows of one are not filed in another.
#[derive(Debug, Clone, Copy)]
pub struct HeadBlocks<'a> {
    /// All heads.
    pub heads: Rows<'a>,
    /// One past the last head of each block.
    pub ends: &'a [u32],
    /// One row a block.
    pub centers: Rows<'a>,
    /// One past the last block of each region.
    pub regions: &'a [u32],
}

impl HeadBlocks<'_> {
    fn heads_of(&self, block: u32) -> Range<u32> {
        let start = block.checked_sub(1).map_or(0, |before| self.ends[before as usize]);
        start..self.ends[block as usize]
    }
}

/// Files the rows of a block under heads of the blocks around it.
///
/// For each row the nearest few of the surrounding blocks are chosen by their centres, then all their heads are
/// scored; both steps are matrix products. Like an inverted file over the heads it misses the nearest head of
/// a few rows in a thousand.
#[derive(Debug)]
pub struct Filer<'a> {
    blocks: HeadBlocks<'a>,
    around: Vec<Vec<u32>>,
    kernel: BlockKernel,
    pair: PairKernel,
    params: FilingParams,
    width: FilingWidth,
}

/// Buffers of [`Filer::file_block`], one for each thread.
#[derive(Debug, Default)]
pub struct FilerScratch {
    nearest: NearestScratch,
    scores: Vec<f32>,
    bytes: Vec<u8>,
    routes: Routes,
    /// Heads of the surrounding blocks, packed when first looked into.
    packed: Vec<Option<RightRows>>,
    /// Rows of a chunk that look into one block, and their numbers.
    left: LeftRows,
    numbers: Vec<u32>,
    /// For each row of a chunk the scores of its blocks' heads, one after the other.
    row_scores: Vec<f32>,
    /// Nearest heads of one row.
    heads: Vec<u32>,
    distances: Vec<f32>,
}

/// The blocks that each row of a chunk looks into.
#[derive(Debug, Default)]
struct Routes {
    /// `probed` places among the surrounding blocks for each row, ascending by block.
    places: Vec<u32>,
    /// Where the scores of each of them begin and, at the end, where the last end: `probed + 1` a row.
    offsets: Vec<u32>,
    /// For each surrounding block the rows that look into it, and which of their places that is.
    visitors: Vec<Vec<(u32, u32)>>,
}

impl<'a> Filer<'a> {
    /// Finds the blocks around every block: 4 bytes for each of the `around` neighbours of each.
    ///
    /// # Panics
    /// When the blocks do not cover the heads.
    pub fn new(
        blocks: HeadBlocks<'a>,
        params: FilingParams,
        width: FilingWidth,
        pool: &ThreadPool,
    ) -> Filer<'a> {
        let HeadBlocks { heads, ends, centers, regions } = blocks;
        assert_eq!(ends.len(), centers.len(), "one centre a block");
        let cover =
            |ends: &[u32], all: usize| ends.is_sorted() && ends.last().map_or(0, |&end| end as usize) == all;
        assert!(cover(ends, heads.len()) && cover(regions, ends.len()));
        let (mut around, mut first) = (Vec::with_capacity(ends.len()), 0);
        for &end in regions {
            let range = first as usize * centers.row_bytes()..end as usize * centers.row_bytes();
            let found = neighbour_blocks(centers.with_bytes(&centers.bytes[range]), width.around, pool);
            around.extend(found.into_iter().map(|mut blocks| {
                blocks.iter_mut().for_each(|block| *block += first);
                // Ascending, so that the lowest head comes first among equals.
                blocks.sort_unstable();
                blocks
            }));
            first = end;
        }
        let kernel = BlockKernel::new(heads.dtype, heads.dim);
        let pair = PairKernel::new(Operation::SquaredL2, heads.dtype, heads.dim);
        Filer { blocks, around, kernel, pair, params, width }
    }

    /// Files the rows whose leaf lies in `block`, appending to `out`: each row's primary first, then its replicas.
    ///
    /// The primary is the nearest head found, the lowest number among equals. Runs on the calling thread.
    pub fn file_block(
        &self,
        block: usize,
        rows: Rows<'_>,
        scratch: &mut FilerScratch,
        out: &mut Vec<FiledRow>,
    ) {
        let (mut rule, mut chosen) = (RuleScratch::default(), Vec::new());
        self.visit_block(block, rows, scratch, |row, nearest| {
            nearest.choose(self.params.rule, self.params.copies_max, &mut rule, &mut chosen);
            out.extend(chosen.iter().map(|&place| nearest.filed(row, place)));
        });
    }

    /// Calls `visit` with each row's number and its nearest heads, rows in order.
    pub fn visit_block(
        &self,
        block: usize,
        rows: Rows<'_>,
        scratch: &mut FilerScratch,
        mut visit: impl FnMut(u32, NearestHeads<'_>),
    ) {
        let around = &self.around[block];
        self.blocks.centers.gather(around, &mut scratch.bytes);
        let centers = self.kernel.pack_right(&scratch.bytes);
        let row_bytes = rows.row_bytes();
        scratch.packed.clear();
        scratch.packed.resize_with(around.len(), || None);
        for (chunk, bytes) in rows.bytes.chunks(CHUNK_ROWS * row_bytes).enumerate() {
            let rows = Rows { bytes, ..rows };
            let left = self.kernel.pack_left(bytes);
            scratch.scores.clear();
            scratch.scores.resize(left.len() * around.len(), 0.0);
            self.kernel.scores(Operation::SquaredL2, left.all(), centers.all(), &mut scratch.scores);
            let stride = self.route(around, left.len(), scratch);
            self.score_heads(around, &left, stride, scratch);
            for row in 0..rows.len() {
                self.find_nearest(row, around, stride, scratch);
                let number = (chunk * CHUNK_ROWS + row) as u32; // CAST: a block has fewer than 2^32 rows
                let (heads, distances) = (&scratch.heads, &scratch.distances);
                visit(number, NearestHeads { heads, distances, rows: self.blocks.heads, pair: &self.pair });
            }
        }
    }

    fn probed(&self, around: &[u32]) -> usize {
        self.width.probed.clamp(1, around.len())
    }

    /// Chooses the blocks of each row from the scores of the centres; returns the most heads that one row sees.
    fn route(&self, around: &[u32], rows: usize, scratch: &mut FilerScratch) -> usize {
        let probed = self.probed(around);
        let routes = &mut scratch.routes;
        routes.places.clear();
        routes.offsets.clear();
        routes.visitors.iter_mut().for_each(Vec::clear);
        routes.visitors.resize_with(around.len(), Vec::new);
        let mut stride = 0;
        for (row, scores) in scratch.scores.chunks_exact(around.len()).enumerate().take(rows) {
            let first = routes.places.len();
            routes.places.extend(scratch.nearest.nearest(scores, probed).iter().map(|&(_, place)| place));
            routes.places[first..].sort_unstable();
            let mut offset = 0_u32;
            for (slot, &place) in routes.places[first..].iter().enumerate() {
                routes.offsets.push(offset);
                offset += self.blocks.heads_of(around[place as usize]).len() as u32; // CAST: a block is small
                routes.visitors[place as usize].push((row as u32, slot as u32)); // CAST: a chunk and its probed blocks are far below 2^32
            }
            routes.offsets.push(offset);
            stride = stride.max(offset as usize);
        }
        stride
    }

    /// Scores the heads of every block against the rows that look into it.
    fn score_heads(&self, around: &[u32], rows: &LeftRows, stride: usize, scratch: &mut FilerScratch) {
        let slots = self.probed(around) + 1;
        let row_bytes = self.blocks.heads.row_bytes();
        scratch.row_scores.resize(rows.len() * stride, 0.0);
        let blocks = around.iter().zip(&scratch.routes.visitors).zip(&mut scratch.packed);
        for ((&block, visitors), packed) in blocks {
            if visitors.is_empty() {
                continue;
            }
            let right = packed.get_or_insert_with(|| {
                let heads = self.blocks.heads_of(block);
                let range = heads.start as usize * row_bytes..heads.end as usize * row_bytes;
                self.kernel.pack_right(&self.blocks.heads.bytes[range])
            });
            scratch.numbers.clear();
            scratch.numbers.extend(visitors.iter().map(|&(row, _)| row));
            rows.gather(&scratch.numbers, &mut scratch.left);
            scratch.scores.clear();
            scratch.scores.resize(visitors.len() * right.len(), 0.0);
            self.kernel.scores(Operation::SquaredL2, scratch.left.all(), right.all(), &mut scratch.scores);
            for (&(row, slot), scores) in visitors.iter().zip(scratch.scores.chunks_exact(right.len())) {
                let offset = scratch.routes.offsets[row as usize * slots + slot as usize] as usize;
                let start = row as usize * stride + offset;
                scratch.row_scores[start..start + scores.len()].copy_from_slice(scores);
            }
        }
    }

    /// The nearest heads of one row of a chunk, from its scores.
    fn find_nearest(&self, row: usize, around: &[u32], stride: usize, scratch: &mut FilerScratch) {
        let slots = self.probed(around) + 1;
        let offsets = &scratch.routes.offsets[row * slots..(row + 1) * slots];
        let places = &scratch.routes.places[row * (slots - 1)..(row + 1) * (slots - 1)];
        let scores = &scratch.row_scores[row * stride..][..offsets[slots - 1] as usize];
        let wanted = if self.params.needs_neighbours() { self.params.nearest.max(1) } else { 1 };
        let nearest = scratch.nearest.nearest(scores, wanted);
        scratch.heads.clear();
        scratch.heads.extend(nearest.iter().map(|&(_, column)| {
            let slot = offsets.partition_point(|&offset| offset <= column) - 1;
            self.blocks.heads_of(around[places[slot] as usize]).start + (column - offsets[slot])
        }));
        scratch.distances.clear();
        scratch.distances.extend(nearest.iter().map(|&(distance, _)| distance));
    }
}

/// The nearest heads of a row, ascending by distance.
#[derive(Debug, Clone, Copy)]
pub struct NearestHeads<'a> {
    /// Numbers of the heads, nearest first.
    pub heads: &'a [u32],
    /// Squared distances to the heads, in the same order.
    pub distances: &'a [f32],
    rows: Rows<'a>,
    pair: &'a PairKernel,
}

impl NearestHeads<'_> {
    /// Chooses among them by a rule: places in `heads`, the primary first.
    pub fn choose(
        &self,
        rule: ReplicaRule,
        copies_max: usize,
        scratch: &mut RuleScratch,
        out: &mut Vec<usize>,
    ) {
        let between = |place: usize, out: &mut [f32]| {
            let head = self.rows.row(self.heads[place] as usize);
            self.pair.score_picks(head, self.rows.bytes, self.heads, out);
        };
        rule.choose(self.distances, between, copies_max, scratch, out);
    }

    /// The row filed under one of them; the primary is the first.
    pub fn filed(&self, row: u32, place: usize) -> FiledRow {
        FiledRow { row, head: self.heads[place], distance: self.distances[place], primary: place == 0 }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use rand::{Rng, SeedableRng};
    use spandrel_index::DType;

    use super::*;
    use crate::cluster::{ClusterParams, cluster};

    fn pool() -> ThreadPool {
        rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap()
    }

    /// Heads, block ends and centres of some clustered rows.
    fn heads(rows: Rows<'_>, lists: usize) -> (Vec<u8>, Vec<u32>, Vec<u8>) {
        let found = cluster(rows, &ClusterParams::new(lists), &pool(), &AtomicBool::new(false)).unwrap();
        let ends = found.blocks.iter().map(|block| block.heads.end).collect();
        let centers = found.blocks.iter().flat_map(|block| block.center.iter().copied()).collect();
        (found.heads, ends, centers)
    }

    fn random_rows(dim: usize, rows: usize) -> Vec<u8> {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(4);
        (0..rows * dim).map(|_| rng.random_range(0..9_u8)).collect()
    }

    #[test]
    fn looking_everywhere_agrees_with_the_rule_on_all_distances() {
        let dim = 7;
        let bytes = random_rows(dim, 3000);
        let rows = Rows { dtype: DType::U8, dim, bytes: &bytes };
        let (heads, ends, centers) = heads(rows, 700);
        assert!(ends.len() > 5, "{} blocks", ends.len());
        let (heads, centers) = (Rows { bytes: &heads, ..rows }, Rows { bytes: &centers, ..rows });
        let pair = PairKernel::new(Operation::SquaredL2, DType::U8, dim);
        let rows = Rows { bytes: &bytes[..300 * dim], ..rows };
        for rule in ReplicaRule::ALL {
            let params = FilingParams { rule, copies_max: 4, nearest: 20 };
            let width = FilingWidth { around: 1000, probed: 1000 };
            let regions = &[ends.len() as u32];
            let blocks = HeadBlocks { heads, ends: &ends, centers, regions };
            let filer = Filer::new(blocks, params, width, &pool());
            let mut found = Vec::new();
            filer.file_block(2, rows, &mut FilerScratch::default(), &mut found);
            let mut expected = Vec::new();
            for row in 0..rows.len() {
                let mut all: Vec<(f32, u32)> = (0..heads.len())
                    .map(|at| (pair.score(rows.row(row), heads.row(at)), at as u32))
                    .collect();
                all.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
                all.truncate(20);
                let head = |place: usize| heads.row(all[place].1 as usize);
                let distances: Vec<f32> = all.iter().map(|&(distance, _)| distance).collect();
                let between = |place: usize, out: &mut [f32]| {
                    (0..20).for_each(|at| out[at] = pair.score(head(place), head(at)));
                };
                let mut chosen = Vec::new();
                rule.choose(&distances, between, 4, &mut RuleScratch::default(), &mut chosen);
                expected.extend(chosen.iter().map(|&place| FiledRow {
                    row: row as u32,
                    head: all[place].1,
                    distance: all[place].0,
                    primary: place == 0,
                }));
            }
            assert_eq!(found, expected, "{rule}");
        }
    }

    #[test]
    fn looking_around_finds_nearly_every_nearest_head() {
        let dim = 4;
        let bytes = random_rows(dim, 4000);
        let rows = Rows { dtype: DType::U8, dim, bytes: &bytes };
        let (heads, ends, centers) = heads(rows, 1000);
        let (heads, centers) = (Rows { bytes: &heads, ..rows }, Rows { bytes: &centers, ..rows });
        let regions = &[ends.len() as u32];
        let blocks = HeadBlocks { heads, ends: &ends, centers, regions };
        let params = FilingParams { rule: ReplicaRule::None, copies_max: 1, nearest: 1 };
        let narrow = Filer::new(blocks, params, FilingWidth { around: 8, probed: 4 }, &pool());
        let wide = Filer::new(blocks, params, FilingWidth { around: 1000, probed: 1000 }, &pool());
        let (mut found, mut exact) = (Vec::new(), Vec::new());
        let mut scratch = FilerScratch::default();
        for block in 0..ends.len() {
            // The rows that are heads of this block lie in it.
            let range = narrow.blocks.heads_of(block as u32);
            let own =
                Rows { bytes: &heads.bytes[range.start as usize * dim..range.end as usize * dim], ..rows };
            narrow.file_block(block, own, &mut scratch, &mut found);
            wide.file_block(block, own, &mut scratch, &mut exact);
        }
        let same = found.iter().zip(&exact).filter(|(a, b)| a.head == b.head).count();
        assert!(same * 100 >= exact.len() * 99, "{same} of {}", exact.len());
    }

    #[test]
    fn rows_stay_in_their_region() {
        let dim = 7;
        let bytes = random_rows(dim, 3000);
        let rows = Rows { dtype: DType::U8, dim, bytes: &bytes };
        let (heads, ends, centers) = heads(rows, 700);
        let (heads, centers) = (Rows { bytes: &heads, ..rows }, Rows { bytes: &centers, ..rows });
        let regions = &[2, 2, 5, ends.len() as u32];
        let blocks = HeadBlocks { heads, ends: &ends, centers, regions };
        let params = FilingParams { rule: ReplicaRule::Soar, copies_max: 3, nearest: 20 };
        let filer = Filer::new(blocks, params, FilingWidth { around: 1000, probed: 1000 }, &pool());
        for (block, heads) in [(0, 0..ends[1]), (3, ends[1]..ends[4]), (6, ends[4]..700)] {
            let mut found = Vec::new();
            filer.file_block(block, rows, &mut FilerScratch::default(), &mut found);
            assert!(found.len() > 3000 && found.iter().all(|filed| heads.contains(&filed.head)), "{block}");
        }
    }
}
