//! Codes as an index holds them.
use anyhow::Result;
use rayon::ThreadPool;
use rayon::prelude::*;
use spandrel_index::codes::{CodeBlocks, CodeModel, CodeQuery, CodeSpec, Encoder};
use spandrel_index::kernels::scan::{BLOCK_VECTORS, FACTOR_BYTES, ScanKernel};

use crate::code::{Code, Estimate};
use crate::lists::Lists;
use spandrel_benches::set::Set;

/// Codes of every list.
pub(crate) struct Coded<'a> {
    lists: &'a Lists,
    spec: CodeSpec,
    model: CodeModel,
    blocks: Vec<CodeBlocks>,
    kernel: ScanKernel,
}

impl<'a> Coded<'a> {
    /// Trains a code on a sample of the lists, or takes that of the index, and codes all vectors.
    pub(crate) fn new(lists: &'a Lists, spec: CodeSpec, pool: &ThreadPool) -> Result<Coded<'a>> {
        let model = match &lists.segment().model {
            Some(model) if lists.index.code() == spec => CodeModel::clone(model),
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
        Ok(Coded { lists, spec, model, blocks, kernel: ScanKernel::default() })
    }
}

impl Code for Coded<'_> {
    type Query = CodeQuery;

    fn lists(&self) -> &Lists {
        self.lists
    }

    fn bytes(&self) -> usize {
        self.spec.code_bytes(self.lists.index.dim())
    }

    fn allotment(&self) -> String {
        self.model.allotment()
    }

    fn prepare(&self, set: &Set, query: usize, out: &mut CodeQuery) {
        let (mut row, mut head) = (Vec::new(), Vec::new());
        let index = &self.lists.index;
        index.space().float_query(index.dtype(), set.queries.row(query), &mut row);
        self.lists.head(self.lists.ranked[query][0].1, &mut head);
        out.prepare(&self.model, &row, &head);
    }

    fn scan(&self, query: &CodeQuery, list: u32, head_distance: f32, out: &mut Vec<Estimate>) {
        let codes = &self.blocks[list as usize];
        let blocks = codes.factors.as_chunks::<FACTOR_BYTES>().0;
        let mut distances = vec![0.0; blocks.len() * BLOCK_VECTORS];
        let terms = query.terms(head_distance);
        self.model.scan(&self.kernel, query, codes.all(), terms, &mut distances);
        out.clear();
        out.extend(distances.iter().take(self.lists.range(list).1).enumerate().map(|(lane, &distance)| {
            let error = query.error(&terms, &blocks[lane / BLOCK_VECTORS], lane % BLOCK_VECTORS);
            Estimate { distance, error }
        }));
    }
}

/// Trains a code on a sample of the lists.
pub(crate) fn train(lists: &Lists, spec: CodeSpec) -> Result<CodeModel> {
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
    Ok(CodeModel::train(spec, mean, residuals, 1)?)
}
