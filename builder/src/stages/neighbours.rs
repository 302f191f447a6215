//! Exact nearest neighbours of a sample of queries among all vectors, in one pass over them.
use rayon::ThreadPool;
use rayon::prelude::*;
use spandrel_index::kernels::{BlockKernel, LeftRows, Operation};

use crate::Rows;

/// Queries scored together, by one thread.
const CHUNK_QUERIES: usize = 128;
/// Vectors scored at a time.
const CHUNK_VECTORS: usize = 2048;

/// Queries, packed to be multiplied.
pub(super) struct Queries {
    kernel: BlockKernel,
    /// Runs of [`CHUNK_QUERIES`].
    packed: Vec<LeftRows>,
    count: usize,
}

impl Queries {
    pub(super) fn new(rows: Rows<'_>) -> Queries {
        let kernel = BlockKernel::new(rows.dtype, rows.dim);
        let packed =
            rows.bytes.chunks(CHUNK_QUERIES * rows.row_bytes()).map(|rows| kernel.pack_left(rows)).collect();
        Queries { kernel, packed, count: rows.len() }
    }

    pub(super) fn len(&self) -> usize {
        self.count
    }
}

/// The nearest vectors so far of each query. All lie in one block, which is given back as a whole.
pub(super) struct Nearest {
    depth: usize,
    /// Of each query twice `depth` places.
    found: Vec<(f32, u32)>,
    best: Vec<Best>,
}

/// How many of a query's places are taken, and the distance from which on another vector is none of the nearest.
#[derive(Clone)]
struct Best {
    count: usize,
    limit: f32,
}

/// Bytes of memory for the neighbours of a query, of which twice the depth are held, and once more when they are handed out.
pub(crate) fn neighbours_bytes(depth: u64) -> u64 {
    20 * depth + 96
}

/// Bytes of memory for scores, for a thread.
pub(crate) fn scores_bytes() -> u64 {
    4 * (CHUNK_QUERIES * CHUNK_VECTORS) as u64 // CAST: widening
}

impl Nearest {
    pub(super) fn new(queries: usize, depth: usize) -> Nearest {
        let best = vec![Best { count: 0, limit: f32::INFINITY }; queries];
        Nearest { depth, found: vec![(0.0, 0); 2 * depth * queries], best }
    }

    /// Compares the queries with further rows of head space, of which the first has the number `first`.
    pub(super) fn add(&mut self, queries: &Queries, rows: &[u8], first: u32, pool: &ThreadPool) {
        let Queries { kernel, packed, .. } = queries;
        let (right, places) = (kernel.pack_right(rows), 2 * self.depth);
        type Part<'a> = ((&'a LeftRows, &'a mut [Best]), &'a mut [(f32, u32)]);
        let add = |scores: &mut Vec<f32>, ((left, best), found): Part<'_>| {
            for start in (0..right.len()).step_by(CHUNK_VECTORS) {
                let end = right.len().min(start + CHUNK_VECTORS);
                scores.clear();
                scores.resize(left.len() * (end - start), 0.0);
                kernel.scores(Operation::SquaredL2, left.all(), right.range(start..end), scores);
                let of_query = best.iter_mut().zip(found.chunks_exact_mut(places));
                for ((best, found), scores) in of_query.zip(scores.chunks_exact(end - start)) {
                    best.add(scores, first + start as u32, found); // CAST: a row number; an index has fewer than 2^32 rows
                }
            }
        };
        let best = self.best.par_chunks_mut(CHUNK_QUERIES);
        let found = self.found.par_chunks_mut(CHUNK_QUERIES * places);
        pool.install(|| packed.par_iter().zip(best).zip(found).for_each_init(Vec::new, add));
    }

    /// Their numbers, of each query in a run of `depth`, the nearest first and lower numbers first among equals.
    pub(super) fn finish(mut self) -> Neighbours {
        let depth = self.depth;
        let mut rows = Vec::with_capacity(depth * self.best.len());
        for (best, found) in self.best.iter_mut().zip(self.found.chunks_exact_mut(2 * depth)) {
            best.cut(found);
            let found = &mut found[..best.count];
            found.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            rows.extend(found.iter().map(|&(_, row)| row));
        }
        Neighbours { depth, rows }
    }
}

/// The nearest vectors of each query.
pub(super) struct Neighbours {
    depth: usize,
    rows: Vec<u32>,
}

impl Neighbours {
    /// Numbers of the vectors, query by query.
    pub(super) fn of_queries(&self) -> impl Iterator<Item = &[u32]> {
        self.rows.chunks(self.depth)
    }
}

impl Best {
    fn add(&mut self, scores: &[f32], first: u32, found: &mut [(f32, u32)]) {
        for (&score, row) in scores.iter().zip(first..) {
            // Rows come in order: one at the limit is no nearer than those found.
            if score < self.limit {
                found[self.count] = (score, row);
                self.count += 1;
                if self.count == found.len() {
                    self.cut(found);
                }
            }
        }
    }

    /// Keeps the nearest, half of the places.
    fn cut(&mut self, found: &mut [(f32, u32)]) {
        let depth = found.len() / 2;
        if self.count > depth {
            let taken = &mut found[..self.count];
            taken.select_nth_unstable_by(depth - 1, |a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            self.limit = taken[depth - 1].0;
            self.count = depth;
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng};
    use spandrel_index::DType;

    use super::*;

    #[test]
    fn neighbours_are_those_of_a_sort_however_rows_are_cut() {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(3);
        let (dim, count, depth) = (3, 5000, 10);
        // Few values, so that many are equally far.
        let mut bytes =
            |rows: usize| -> Vec<u8> { (0..rows * dim).map(|_| rng.random_range(0..12_u8)).collect() };
        let (base, queries) = (bytes(count), bytes(150));
        let of = |bytes| Rows { dtype: DType::U8, dim, bytes };
        let squared = |query: &[u8], row: &[u8]| -> i32 {
            query.iter().zip(row).map(|(&a, &b)| (i32::from(a) - i32::from(b)).pow(2)).sum()
        };
        let expected: Vec<Vec<u32>> = (0..150)
            .map(|query| {
                let query = &queries[query * dim..][..dim];
                let mut all: Vec<(i32, u32)> =
                    base.chunks_exact(dim).map(|row| squared(query, row)).zip(0..).collect();
                all.sort_unstable();
                all.iter().take(depth).map(|&(_, row)| row).collect()
            })
            .collect();
        let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
        for step in [7, 4999, 5000] {
            let packed = Queries::new(of(&queries));
            let mut nearest = Nearest::new(packed.len(), depth);
            for (rows, first) in base.chunks(step * dim).zip((0..).step_by(step)) {
                nearest.add(&packed, rows, first, &pool);
            }
            let found: Vec<Vec<u32>> = nearest.finish().of_queries().map(<[u32]>::to_vec).collect();
            assert_eq!(found, expected, "{step} rows at a time");
        }
    }
}
