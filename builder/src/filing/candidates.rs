//! The rows of a block against the heads around it.
use spandrel_index::kernels::{BlockKernel, Operation, RightRows};

use super::ReplicaRule;
use super::nearest::NearestScratch;
use crate::cluster::Rows;

/// Scores held at a time, so that they stay in the second-level cache.
const SCORES_MAX: usize = 64 * 1024;

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

/// One vector in one list.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Filed {
    /// The vector's place among the rows given.
    pub row: u32,
    /// The head of the list.
    pub head: u32,
    /// The squared distance from the vector to that head.
    pub distance: f32,
    /// Whether this is the list the vector belongs to; true once for every row.
    pub primary: bool,
}

/// Heads that the rows of one block may be filed under.
#[derive(Debug)]
pub struct CandidateHeads {
    numbers: Vec<u32>,
    packed: RightRows,
    /// Squared distances of every two candidates; empty where the rule needs none.
    between: Vec<f32>,
}

impl CandidateHeads {
    /// Prepares the heads numbered `numbers` (ascending, so that the lowest wins a tie), whose rows lie in `rows`.
    ///
    /// # Panics
    /// When there is no head, numbers and rows differ in count, or the numbers do not ascend.
    pub fn new(
        kernel: &BlockKernel,
        numbers: Vec<u32>,
        rows: Rows<'_>,
        params: &FilingParams,
    ) -> CandidateHeads {
        assert!(!numbers.is_empty() && numbers.len() == rows.len());
        assert!(numbers.is_sorted_by(|a, b| a < b), "candidate heads must ascend");
        let packed = kernel.pack_right(rows.bytes);
        let mut between = Vec::new();
        if params.rule != ReplicaRule::None && params.copies_max > 1 {
            let left = kernel.pack_left(rows.bytes);
            between.resize(left.len() * left.len(), 0.0);
            kernel.scores(
                Operation::SquaredL2,
                (&left, 0..left.len()),
                (&packed, 0..packed.len()),
                &mut between,
            );
        }
        CandidateHeads { numbers, packed, between }
    }

    /// Number of heads.
    pub fn len(&self) -> usize {
        self.numbers.len()
    }

    /// Never: there is at least one.
    pub fn is_empty(&self) -> bool {
        self.numbers.is_empty()
    }
}

/// Buffers of [`file_rows`], one for each thread.
#[derive(Debug, Default)]
pub struct FilingScratch {
    scores: Vec<f32>,
    nearest: NearestScratch,
    distances: Vec<f32>,
    chosen: Vec<usize>,
}

/// Files rows under the candidate heads, appending to `out`: each row's primary first, then its replicas.
///
/// The primary is the nearest candidate, the lowest head number among equals.
pub fn file_rows(
    kernel: &BlockKernel,
    rows: Rows<'_>,
    heads: &CandidateHeads,
    params: &FilingParams,
    scratch: &mut FilingScratch,
    out: &mut Vec<Filed>,
) {
    let width = heads.len();
    let chunk_rows = (SCORES_MAX / width).max(8);
    let wanted = if heads.between.is_empty() { 1 } else { params.nearest.max(1) };
    let left = kernel.pack_left(rows.bytes);
    for start in (0..left.len()).step_by(chunk_rows) {
        let end = left.len().min(start + chunk_rows);
        scratch.scores.clear();
        scratch.scores.resize((end - start) * width, 0.0);
        let (l, r) = ((&left, start..end), (&heads.packed, 0..width));
        kernel.scores(Operation::SquaredL2, l, r, &mut scratch.scores);
        for (at, scores) in scratch.scores.chunks_exact(width).enumerate() {
            let nearest = scratch.nearest.nearest(scores, wanted);
            scratch.distances.clear();
            scratch.distances.extend(nearest.iter().map(|&(distance, _)| distance));
            let column = |place: usize| nearest[place].1 as usize;
            let between = |a: usize, b: usize| heads.between[column(a) * width + column(b)];
            params.rule.choose(&scratch.distances, between, params.copies_max, &mut scratch.chosen);
            let row = (start + at) as u32; // CAST: a block has fewer than 2^32 rows
            out.extend(scratch.chosen.iter().map(|&place| Filed {
                row,
                head: heads.numbers[column(place)],
                distance: nearest[place].0,
                primary: place == 0,
            }));
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng};
    use spandrel_index::DType;
    use spandrel_index::kernels::PairKernel;

    use super::*;

    #[test]
    fn agrees_with_the_rule_on_all_distances() {
        let dim = 7;
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(4);
        let mut random =
            |rows: usize| (0..rows * dim).map(|_| rng.random_range(0..9_u8)).collect::<Vec<u8>>();
        let (rows, heads) = (random(300), random(700));
        let rows = Rows { dtype: DType::U8, dim, bytes: &rows };
        let heads = Rows { dtype: DType::U8, dim, bytes: &heads };
        let kernel = BlockKernel::new(DType::U8, dim);
        let pair = PairKernel::new(Operation::SquaredL2, DType::U8, dim);
        for rule in ReplicaRule::ALL {
            let params = FilingParams { rule, copies_max: 4, nearest: 20 };
            let candidates = CandidateHeads::new(&kernel, (100..800).collect(), heads, &params);
            let mut found = Vec::new();
            file_rows(&kernel, rows, &candidates, &params, &mut FilingScratch::default(), &mut found);
            let mut expected = Vec::new();
            for row in 0..rows.len() {
                let mut all: Vec<(f32, u32)> =
                    (0..700).map(|at| (pair.score(rows.row(row), heads.row(at as usize)), at)).collect();
                all.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
                all.truncate(20);
                let head = |place: usize| heads.row(all[place].1 as usize);
                let distances: Vec<f32> = all.iter().map(|&(distance, _)| distance).collect();
                let mut chosen = Vec::new();
                rule.choose(&distances, |a, b| pair.score(head(a), head(b)), 4, &mut chosen);
                expected.extend(chosen.iter().map(|&place| Filed {
                    row: row as u32,
                    head: all[place].1 + 100,
                    distance: all[place].0,
                    primary: place == 0,
                }));
            }
            assert_eq!(found, expected, "{rule}");
        }
    }
}
