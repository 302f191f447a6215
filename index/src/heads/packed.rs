//! Heads of integers packed for products of one query with many heads.
use super::{HeadQuery, Heads, Scratch};
use crate::kernels::{BlockKernel, LeftRows, Operation, RightRows, Variant};

/// Every head once more, packed so that one instruction takes the same four bytes of sixteen heads: a scan takes half
/// the time of one by rows, and its distances are as exact.
///
/// Packed heads take as much memory as rows, or twice as much without AVX-512, and eight bytes a head.
#[derive(Debug)]
pub struct PackedHeads {
    kernel: BlockKernel,
    rows: RightRows,
}

impl PackedHeads {
    /// Packs all heads that are to be found.
    ///
    /// # Panics
    /// When they are not of integers: products would not give the distances of floats exactly.
    pub fn new(heads: &Heads) -> PackedHeads {
        PackedHeads::with_variant(heads, Variant::best())
    }

    /// As [`PackedHeads::new`], for the kernel of one variant, which this machine must be able to run.
    pub fn with_variant(heads: &Heads, variant: Variant) -> PackedHeads {
        assert!(heads.dtype().is_integer(), "{heads:?} cannot be packed");
        let kernel = BlockKernel::with_variant(heads.dtype(), heads.dim(), variant);
        PackedHeads { kernel, rows: kernel.pack_right(heads.found_rows()) }
    }

    /// Scores all heads. Same answers as a scan of the rows. Finds none where `go_on` says no while
    /// they are put in order.
    pub(super) fn search(
        &self,
        heads: &Heads,
        query: &HeadQuery<'_>,
        scratch: &mut Scratch,
        out: &mut Vec<(f32, u32)>,
        go_on: &mut dyn FnMut() -> bool,
    ) -> u32 {
        assert_eq!(heads.found() as usize, self.rows.len(), "other heads were packed");
        self.kernel.pack_left_into(query.row, &mut scratch.query);
        let scores = scratch.nearest.scores(self.rows.len());
        self.kernel.scores(Operation::SquaredL2, scratch.query.all(), self.rows.all(), scores);
        scratch.nearest.select_while(query.k, out, go_on);
        heads.found()
    }

    /// Scores all heads for each of the queries that lie in `rows` back to back. The heads are read once.
    pub(super) fn score(&self, rows: &[u8], out: &mut HeadScores) {
        self.kernel.pack_left_into(rows, &mut out.queries);
        out.heads = self.rows.len();
        out.scores.resize(out.queries.len() * out.heads, 0.0);
        self.kernel.scores(Operation::SquaredL2, out.queries.all(), self.rows.all(), &mut out.scores);
    }

    /// Bytes allocated.
    pub fn memory_bytes(&self) -> usize {
        self.rows.memory_bytes()
    }
}

/// The scores of all heads for several queries. Its memory is used again by those that follow.
#[derive(Debug, Default)]
pub struct HeadScores {
    queries: LeftRows,
    heads: usize,
    /// Query by query.
    scores: Vec<f32>,
}

impl HeadScores {
    /// The heads nearest to one of the queries, as [`HeadIndex::search_while`](super::HeadIndex::search_while) finds them: how many were
    /// scored for it.
    ///
    /// # Panics
    /// When there is no such query.
    pub fn nearest_while(
        &self,
        query: usize,
        k: usize,
        scratch: &mut Scratch,
        out: &mut Vec<(f32, u32)>,
        go_on: &mut dyn FnMut() -> bool,
    ) -> u32 {
        let scores = &self.scores[query * self.heads..(query + 1) * self.heads];
        scratch.nearest.select_of(scores, k, out, go_on);
        self.heads as u32 // CAST: heads are numbered by u32
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{clustered, found};
    use super::super::{HeadIndex, HeadQuery, Heads};
    use super::*;
    use crate::DType;

    #[test]
    fn several_queries_at_once_find_what_each_finds() {
        for (dtype, dim, count) in [(DType::U8, 128, 1500), (DType::I8, 7, 1000), (DType::U8, 130, 33)] {
            let heads = Heads::from_rows(dtype, dim, &clustered(dtype, dim, count, 1)).unwrap();
            let packed = HeadIndex::Packed(PackedHeads::new(&heads));
            let (mut scores, mut scratch, mut out) = (HeadScores::default(), Scratch::new(), Vec::new());
            for queries in [1, 2, 13, 3] {
                let rows = clustered(dtype, dim, queries, 2);
                assert!(packed.score_together(&rows, &mut scores));
                for (number, row) in rows.chunks(dim).enumerate() {
                    for k in [0, 1, 100, 5000] {
                        let computed = scores.nearest_while(number, k, &mut scratch, &mut out, &mut || true);
                        let expected = found(&packed, &heads, &HeadQuery { row, k, ef: 0 });
                        assert_eq!((computed as usize, &out), (count, &expected), "{heads:?} {number} {k}");
                    }
                }
            }
            assert!(!HeadIndex::Flat.score_together(&[], &mut scores));
        }
    }

    #[test]
    fn every_variant_answers_as_a_scan_of_rows() {
        for dtype in [DType::U8, DType::I8] {
            for (dim, count) in [(1, 40), (7, 1000), (128, 1500), (130, 33)] {
                let mut rows = clustered(dtype, dim, count, 1);
                rows.extend_from_within(..count / 4 * dim);
                let heads = Heads::from_rows(dtype, dim, &rows).unwrap();
                let queries = clustered(dtype, dim, 10, 2);
                for variant in Variant::available() {
                    let packed = HeadIndex::Packed(PackedHeads::with_variant(&heads, variant));
                    for row in queries.chunks(dim) {
                        for k in [0, 1, 100, 5000] {
                            let query = HeadQuery { row, k, ef: 0 };
                            let expected = found(&HeadIndex::Flat, &heads, &query);
                            assert_eq!(found(&packed, &heads, &query), expected, "{variant} {heads:?} {k}");
                        }
                    }
                }
            }
        }
    }
}
