//! A scan of the heads' own codes, and exact distances of those that may be among the nearest.
use anyhow::Result;
use spandrel_index::codes::{CodeBlocks, CodeModel, CodeQuery, CodeSpec, Encoder};
use spandrel_index::kernels::scan::{BLOCK_VECTORS, FACTOR_BYTES, ScanKernel, error_of};
use spandrel_index::kernels::{Operation, PairKernel, below};
use spandrel_index::{Heads, for_each_element};

/// Heads wanted, and usual errors above the estimate of the last of them within which heads are compared exactly.
#[derive(Clone, Copy)]
pub(crate) struct Within {
    pub(crate) k: usize,
    pub(crate) errors: f32,
}

/// Heads as codes of what they are less their mean.
pub(crate) struct HeadCodes {
    model: CodeModel,
    mean: Vec<f32>,
    blocks: CodeBlocks,
    /// The head whose error is the median.
    usual: usize,
    kernel: ScanKernel,
    exact: PairKernel,
    query: CodeQuery,
    row: Vec<f32>,
    estimates: Vec<f32>,
    minima: Vec<f32>,
    picks: Vec<u32>,
    scores: Vec<f32>,
}

impl HeadCodes {
    /// Trains on all heads and codes them.
    pub(crate) fn new(heads: &Heads, spec: CodeSpec) -> Result<HeadCodes> {
        let (dim, mut rows) = (heads.dim(), Vec::new());
        for_each_element(heads.dtype(), heads.rows(), |x| rows.push(x));
        let mean: Vec<f32> = (0..dim)
            .map(|at| {
                let sum: f64 = rows.iter().skip(at).step_by(dim).map(|&x| f64::from(x)).sum();
                (sum / heads.len() as f64) as f32 // CAST: rounds
            })
            .collect();
        let sample = heads.len().div_ceil(spec.sample_rows(dim));
        let sampled = rows.chunks_exact(dim).step_by(sample);
        let residuals: Vec<f32> = sampled.flat_map(|row| row.iter().zip(&mean).map(|(x, m)| x - m)).collect();
        let model = CodeModel::train(spec, mean.clone(), residuals, 1)?;
        let mut blocks = CodeBlocks::default();
        Encoder::new(&model).encode(&rows, &mean, &mut blocks);
        let factors = blocks.factors.as_chunks::<FACTOR_BYTES>().0;
        let error = |head: &usize| error_of(&factors[head / BLOCK_VECTORS], head % BLOCK_VECTORS);
        let mut by_error: Vec<usize> = (0..heads.len()).collect();
        let middle = heads.len() / 2;
        let (_, &mut usual, _) =
            by_error.select_nth_unstable_by(middle, |a, b| error(a).total_cmp(&error(b)));
        Ok(HeadCodes {
            model,
            mean,
            blocks,
            usual,
            kernel: ScanKernel::default(),
            exact: PairKernel::new(Operation::SquaredL2, heads.dtype(), dim),
            query: CodeQuery::default(),
            row: Vec::new(),
            estimates: Vec::new(),
            minima: Vec::new(),
            picks: Vec::new(),
            scores: Vec::new(),
        })
    }

    /// Bytes of codes and factors, of all heads.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.blocks.rows.len() + self.blocks.factors.len() + self.model.memory_bytes()
    }

    /// The `k` heads nearest to `query` of those whose estimate is at most some usual errors above the `k`-th; the
    /// number of distances computed.
    pub(crate) fn search(
        &mut self,
        heads: &Heads,
        query: &[u8],
        Within { k, errors }: Within,
        out: &mut Vec<(f32, u32)>,
    ) -> u32 {
        self.row.clear();
        for_each_element(heads.dtype(), query, |x| self.row.push(x));
        self.query.prepare(&self.model, &self.row, &self.mean);
        let distance = self.row.iter().zip(&self.mean).map(|(q, m)| (q - m).powi(2)).sum();
        let terms = self.query.terms(distance);
        let factors = self.blocks.factors.as_chunks::<FACTOR_BYTES>().0;
        self.estimates.resize(factors.len() * BLOCK_VECTORS, 0.0);
        self.model.scan(&self.kernel, &self.query, self.blocks.all(), terms, &mut self.estimates);
        let estimates = &self.estimates[..heads.len()];
        // The k-th smallest of the minima of blocks: at least k estimates are no larger.
        self.minima.clear();
        self.minima.extend(
            estimates.chunks(BLOCK_VECTORS).map(|block| block.iter().copied().fold(f32::INFINITY, f32::min)),
        );
        let wanted = k.min(self.minima.len()) - 1;
        let limit = *self.minima.select_nth_unstable_by(wanted, f32::total_cmp).1;
        let (block, lane) = (self.usual / BLOCK_VECTORS, self.usual % BLOCK_VECTORS);
        let error = self.query.error(&terms, &factors[block], lane);
        self.picks.clear();
        below(estimates, limit + errors * error, &mut self.picks);
        self.scores.resize(self.picks.len(), 0.0);
        self.exact.score_picks(query, heads.rows(), &self.picks, &mut self.scores);
        out.clear();
        out.extend(self.scores.iter().copied().zip(self.picks.iter().copied()));
        let by_distance = |a: &(f32, u32), b: &(f32, u32)| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1));
        if out.len() > k {
            out.select_nth_unstable_by(k - 1, by_distance);
            out.truncate(k);
        }
        out.sort_unstable_by(by_distance);
        self.picks.len() as u32 // CAST: at most the heads
    }
}
