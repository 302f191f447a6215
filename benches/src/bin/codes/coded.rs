//! The vectors of all lists coded in one way, and what estimates are worth.
use anyhow::Result;
use rayon::ThreadPool;
use rayon::prelude::*;
use spandrel_index::VectorSource;
use spandrel_index::codes::{CodeBlocks, CodeModel, CodeQuery, CodeSpec, Encoder};
use spandrel_index::kernels::scan::{BLOCK_VECTORS, FACTOR_BYTES, ScanKernel, ScanTerms};

use crate::lists::Lists;
use crate::set::Set;

/// Codes of every list.
pub(crate) struct Coded<'a> {
    pub(crate) lists: &'a Lists,
    pub(crate) model: CodeModel,
    blocks: Vec<CodeBlocks>,
    kernel: ScanKernel,
}

/// Estimates against true distances.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Estimates {
    count: f64,
    relative: f64,
    squared: f64,
    inside: [f64; 3],
}

/// Standard errors within which estimates are counted.
pub(crate) const INSIDE: [f64; 3] = [1.9, 2.5, 3.0];

impl<'a> Coded<'a> {
    /// Trains a code on a sample of the lists, or takes that of the index, and codes all vectors.
    pub(crate) fn new(lists: &'a Lists, spec: CodeSpec, pool: &ThreadPool) -> Result<Coded<'a>> {
        let model = match lists.index.model() {
            Some(model) if lists.index.code() == spec => model.clone(),
            _ => train(lists, spec)?,
        };
        let encode = |scratch: &mut (Encoder<'_>, Vec<f32>, Vec<f32>), list: u32| {
            let (encoder, rows, head) = scratch;
            let (first, count) = lists.range(list);
            rows.clear();
            (first..).take(count).for_each(|position| lists.vector(position, rows));
            lists.head(list, head);
            let mut blocks = CodeBlocks::default();
            encoder.encode(rows, head, &mut blocks);
            blocks
        };
        let new = || (Encoder::new(&model), Vec::new(), Vec::new());
        let all = (0..lists.index.lists()).into_par_iter().map_init(new, encode);
        let blocks = pool.install(|| all.collect());
        Ok(Coded { lists, model, blocks, kernel: ScanKernel::default() })
    }

    /// Makes a query ready.
    pub(crate) fn prepare(&self, set: &Set, query: usize, out: &mut CodeQuery) {
        let (mut row, mut head) = (Vec::new(), Vec::new());
        let index = &self.lists.index;
        index.space().float_query(index.dtype(), set.queries.row(query), &mut row);
        self.lists.head(self.lists.ranked[query][0].1, &mut head);
        out.prepare(&self.model, &row, &head);
    }

    /// Estimates for the vectors of a list, and the factors that tell their errors.
    pub(crate) fn scan(
        &self,
        (query, terms): (&CodeQuery, ScanTerms),
        list: u32,
        out: &mut Vec<f32>,
    ) -> &[[u8; FACTOR_BYTES]] {
        let CodeBlocks { rows, factors } = &self.blocks[list as usize];
        let blocks = factors.as_chunks::<FACTOR_BYTES>().0;
        out.resize(blocks.len() * BLOCK_VECTORS, 0.0);
        self.model.scan(&self.kernel, query, (rows, factors), terms, out);
        blocks
    }

    /// Compares the estimates of each query's nearest vectors with their true distances.
    pub(crate) fn estimates(&self, set: &Set) -> Estimates {
        let (mut sums, mut prepared, mut estimates) =
            (Estimates::default(), CodeQuery::default(), Vec::new());
        let index = &self.lists.index;
        let mut distance_of = vec![0.0; index.lists() as usize];
        let (mut row, mut vector) = (Vec::new(), Vec::new());
        for query in 0..set.queries.len() as usize {
            self.prepare(set, query, &mut prepared);
            row.clear();
            index.space().float_query(index.dtype(), set.queries.row(query), &mut row);
            for &(distance, list) in &self.lists.ranked[query] {
                distance_of[list as usize] = distance;
            }
            for &near in set.near(query) {
                let position = self.lists.positions[near as usize];
                let list = self.lists.list_of(position);
                let terms = prepared.terms(distance_of[list as usize]);
                let factors = self.scan((&prepared, terms), list, &mut estimates);
                let lane = (position - self.lists.range(list).0) as usize;
                vector.clear();
                self.lists.vector(position, &mut vector);
                let truth: f64 =
                    row.iter().zip(&vector).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum();
                let error = prepared.error(&terms, &factors[lane / BLOCK_VECTORS], lane % BLOCK_VECTORS);
                sums.add(f64::from(estimates[lane]), f64::from(error), truth);
            }
        }
        sums
    }
}

impl Estimates {
    fn add(&mut self, estimate: f64, error: f64, truth: f64) {
        if truth <= 0.0 {
            return;
        }
        let relative = (estimate - truth) / truth;
        self.count += 1.0;
        self.relative += relative;
        self.squared += relative * relative;
        for (inside, errors) in self.inside.iter_mut().zip(INSIDE) {
            *inside += f64::from(u8::from((estimate - truth).abs() <= errors * error));
        }
    }

    /// Mean of `(estimate - truth) / truth`.
    pub(crate) fn bias(&self) -> f64 {
        self.relative / self.count
    }

    /// Its standard deviation.
    pub(crate) fn deviation(&self) -> f64 {
        (self.squared / self.count - self.bias().powi(2)).max(0.0).sqrt()
    }

    /// Shares of the estimates within [`INSIDE`] standard errors.
    pub(crate) fn inside(&self) -> [f64; 3] {
        self.inside.map(|inside| inside / self.count)
    }
}

fn train(lists: &Lists, spec: CodeSpec) -> Result<CodeModel> {
    let (index, dim) = (&lists.index, lists.index.dim());
    let (mut sums, mut head, mut vector) = (vec![0.0_f64; dim], Vec::new(), Vec::new());
    for list in 0..index.lists() {
        lists.head(list, &mut head);
        sums.iter_mut().zip(&head).for_each(|(sum, &x)| *sum += f64::from(x));
    }
    let mean = sums.iter().map(|sum| (sum / f64::from(index.lists())) as f32).collect(); // CAST: rounds
    let step = (index.vectors() as usize).div_ceil(spec.sample_rows(dim)).max(1);
    let mut residuals = Vec::new();
    for position in (0..index.vectors() as u32).step_by(step) {
        lists.head(lists.list_of(position), &mut head);
        vector.clear();
        lists.vector(position, &mut vector);
        residuals.extend(vector.iter().zip(&head).map(|(x, c)| x - c));
    }
    Ok(CodeModel::train(spec, mean, &residuals, 1)?)
}
