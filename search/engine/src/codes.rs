//! Scan of codes: which vectors of the chosen lists may be among the nearest.
use std::ops::Range;

use spandrel_index::codes::{CodeModel, CodeQuery};
use spandrel_index::kernels::below;
use spandrel_index::kernels::scan::{BLOCK_VECTORS, FACTOR_BYTES, ScanKernel};
use spandrel_index::{Index, for_each_element};

use crate::candidates::{Candidate, Candidates};

/// Codes in blocks, some of whose lanes are a list's vectors.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Blocks<'a> {
    pub(crate) rows: &'a [u8],
    pub(crate) factors: &'a [u8],
    /// Squared distance from the query to the list's head.
    pub(crate) head_distance: f32,
}

/// Scans codes for one query after the other. One per worker.
#[derive(Debug, Default)]
pub(crate) struct CodeScanner {
    kernel: ScanKernel,
    query: Vec<f32>,
    nearest: Vec<f32>,
    estimates: Vec<f32>,
    picks: Vec<u32>,
}

impl CodeScanner {
    /// Makes a query ready: `row` as given, `nearest` its nearest head.
    pub(crate) fn prepare(
        &mut self,
        index: &Index,
        model: &CodeModel,
        row: &[u8],
        nearest: u32,
        out: &mut CodeQuery,
    ) {
        self.query.clear();
        index.space().float_query(index.dtype(), row, &mut self.query);
        self.nearest.clear();
        let heads = index.heads();
        for_each_element(heads.dtype(), heads.row(nearest), |x| self.nearest.push(x));
        // That which lifts inner product is 0 in every query.
        self.nearest.truncate(model.dim());
        out.prepare(model, &self.query, &self.nearest);
    }

    /// Offers the vectors in `lanes` of `blocks`; `position` tells that of a lane.
    pub(crate) fn scan(
        &mut self,
        model: &CodeModel,
        query: &CodeQuery,
        blocks: Blocks<'_>,
        lanes: Range<usize>,
        position: impl Fn(usize) -> u32,
        candidates: &mut Candidates,
    ) {
        let Blocks { rows, factors, head_distance } = blocks;
        let factor_blocks = factors.as_chunks::<FACTOR_BYTES>().0;
        let terms = query.terms(head_distance);
        self.estimates.resize(factor_blocks.len() * BLOCK_VECTORS, 0.0);
        model.scan(&self.kernel, query, (rows, factors), terms, &mut self.estimates);
        let limit = candidates.limit(query.error_max(&terms, factor_blocks));
        self.picks.clear();
        below(&self.estimates[lanes.clone()], limit, &mut self.picks);
        for &pick in &self.picks {
            let lane = lanes.start + pick as usize;
            let error = query.error(&terms, &factor_blocks[lane / BLOCK_VECTORS], lane % BLOCK_VECTORS);
            let estimate = self.estimates[lane];
            candidates.offer(Candidate { estimate, error, position: position(lane), compared: false });
        }
        candidates.tighten();
    }
}
