//! The exact nearest documents of query documents, by MaxSim.
//!
//! The base streams past in blocks of whole documents. A block kernel compares each document with the tokens of a group of queries at
//! once. Where its sums are not exact, what comes near the k-th best so far is compared again in f64.
use std::ops::Range;
use std::sync::Arc;

use rayon::prelude::*;
use spandrel_index::documents::{DocumentOffsets, DocumentTokens, MaxSim, QueryTokens};
use spandrel_index::kernels::Operation;
use spandrel_index::{DType, Metric, SegmentMatches, VectorSource};

use super::best::{Best, Kept, Neighbour};
use super::block::{Measured, Shape};
use super::error::ComputeTruthError;
use super::part::Part;
use super::search::{ROUNDING, ROUNDINGS_EXTRA, is_safe};
use super::{Asking, K_MAX, check, check_filters, exact, pool};
use crate::attributes::RowFilters;
use crate::converted::Converted;
use crate::file::Truth;
use crate::values::{BadRow, CheckError};
use crate::watch::Watch;

/// Bytes of the base held at once, but for a document that has more.
const BLOCK_BYTES: usize = 8 << 20;
/// Tokens of queries that a document is compared with together, but for a query that has more: they stay in the second-level cache.
const GROUP_TOKENS: usize = 512;

/// What to compute of documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DocumentTruthParams {
    /// Documents wanted for each query; all documents of a base that has fewer.
    pub k: usize,
    /// Threads to use; 0 for one on each processor.
    pub threads: usize,
}

/// Vectors, and which of them belong to which document.
#[derive(Clone, Copy)]
pub struct Documents<'a> {
    /// Tokens of all documents, document by document.
    pub tokens: &'a dyn VectorSource,
    /// Where documents begin and end.
    pub offsets: &'a DocumentOffsets,
}

/// Computes the `k` documents of `base` with the largest MaxSim for each query document: ids are numbers of documents, distances MaxSim,
/// `sum over query tokens of the largest inner product with any token of the document` (Khattab and Zaharia, SIGIR 2020). Ties go to the
/// smaller number.
///
/// With filters, documents that match each query's: row `i` of the filters is document `i`. Where fewer than `k` match, [`Truth::NONE`]
/// at an infinite distance fills the rest, as [`compute_truth`](super::compute_truth) does.
///
/// Queries of another element type are converted to that of the base. All queries are held in memory.
///
/// # Errors
/// As [`compute_truth`](super::compute_truth); offsets of other vectors.
pub fn compute_document_truth(
    base: Documents<'_>,
    queries: Documents<'_>,
    filters: Option<&RowFilters>,
    params: DocumentTruthParams,
    watch: Watch<'_>,
) -> Result<Truth, ComputeTruthError> {
    check(base.tokens, Asking { queries: queries.tokens, filters: None })?;
    for Documents { tokens, offsets } in [base, queries] {
        if offsets.rows() != tokens.len() {
            return Err(ComputeTruthError::Offsets { covered: offsets.rows(), rows: tokens.len() });
        }
    }
    // CAST: usize is 64 bits here
    check_filters(filters, queries.offsets.documents() as u64, base.offsets.documents() as u64)?;
    if params.k == 0 || params.k > K_MAX {
        return Err(ComputeTruthError::K { k: params.k });
    }
    let k = params.k.min(base.offsets.documents());
    let (dtype, dim) = (base.tokens.dtype(), base.tokens.dim());
    let max_sim = MaxSim::new(dtype, dim);
    let shape = Shape::new(Metric::InnerProduct, dtype, dim);
    let tokens = Converted::new(queries.tokens, dtype);
    let queries = Documents { tokens: &tokens, ..queries };
    pool(params.threads)?.install(|| Search { base, filters, max_sim, shape, k }.run(queries, watch))
}

struct Search<'a> {
    base: Documents<'a>,
    filters: Option<&'a RowFilters>,
    max_sim: MaxSim,
    shape: Shape,
    k: usize,
}

/// Queries that documents are compared with together.
struct Group {
    rows: Vec<u8>,
    packed: QueryTokens,
    measured: Measured,
    queries: Vec<State>,
}

/// A query while the base goes past.
struct State {
    /// Its tokens in the group.
    tokens: Range<usize>,
    /// The sum of their norms.
    norms: f64,
    /// Whether products with them cannot over- or underflow.
    are_safe: bool,
    /// The documents that may be found, if not all.
    allowed: Option<Arc<SegmentMatches>>,
    best: Best,
}

/// A document in memory.
struct Document<'a> {
    number: u32,
    rows: &'a [u8],
    measured: Measured,
    norm_max: f64,
    /// Whether products with its rows cannot over- or underflow.
    is_safe: bool,
}

impl Search<'_> {
    fn run(&self, queries: Documents<'_>, watch: Watch<'_>) -> Result<Truth, ComputeTruthError> {
        let count = queries.offsets.documents();
        let (mut ids, mut distances) = (Vec::new(), Vec::new());
        let mut first = 0;
        // The documents that match many filters may take several walks.
        while first < count as u64 {
            let rows = self.base.offsets.documents() as u64; // CAST: usize is 64 bits here, as above
            let part = Part::of(self.filters, rows, first..count as u64);
            first = part.queries.end;
            for State { best, .. } in
                self.walk(queries, part, watch)?.into_iter().flat_map(|group| group.queries)
            {
                let found = Kept::Nearest(best).into_sorted();
                let missing = self.k - found.len();
                for Neighbour { key, row } in found {
                    ids.push(row.into());
                    distances.push(-key as f32); // CAST: rounded once, to nearest
                }
                ids.extend(std::iter::repeat_n(Truth::NONE, missing));
                distances.extend(std::iter::repeat_n(f32::NEG_INFINITY, missing));
            }
        }
        Ok(Truth { queries: count, k: self.k, ids, distances: Some(distances) })
    }

    /// Compares some of the queries with the base as it goes past.
    fn walk(
        &self,
        queries: Documents<'_>,
        part: Part,
        watch: Watch<'_>,
    ) -> Result<Vec<Group>, ComputeTruthError> {
        let mut groups = self.groups(queries, part)?;
        let documents = self.base.offsets.documents();
        let mut first = 0;
        let mut rows = Vec::new();
        while first < documents {
            watch.step(first as u64, documents as u64)?; // CAST: usize is 64 bits here
            let end = self.block_end(first);
            let start = self.base.offsets.rows_of(first).start;
            let after = self.base.offsets.rows_of(end - 1).end;
            rows.resize((after - start) as usize * self.shape.row_bytes(), 0); // CAST: widening
            self.base.tokens.read_rows(start.into(), &mut rows)?;
            let block: Vec<Result<Document<'_>, BadRow>> =
                (first..end).into_par_iter().map(|document| self.document(document, start, &rows)).collect();
            // In order, so that the row blamed does not depend on the threads.
            let block = block.into_iter().collect::<Result<Vec<_>, _>>();
            let block = block.map_err(|bad| self.bad(self.base.tokens, bad))?;
            groups.par_iter_mut().for_each_init(
                || (DocumentTokens::default(), Vec::new()),
                |(packed, maxima), group| {
                    for document in &block {
                        self.max_sim.document(document.rows, packed);
                        self.compare(document, packed, maxima, group);
                    }
                },
            );
            first = end;
        }
        watch.step(documents as u64, documents as u64)?; // CAST: as above
        Ok(groups)
    }

    fn bad(&self, source: &dyn VectorSource, bad: BadRow) -> ComputeTruthError {
        ComputeTruthError::Check(CheckError::Row { name: source.name(), bad })
    }

    /// Some of the queries, in groups of about [`GROUP_TOKENS`] tokens.
    fn groups(&self, queries: Documents<'_>, part: Part) -> Result<Vec<Group>, ComputeTruthError> {
        let row_bytes = self.shape.row_bytes();
        let mut groups = Vec::new();
        let [begun, after] = [part.queries.start, part.queries.end].map(|query| query as usize); // CAST: all queries are in memory
        let mut first = begun;
        while first < after {
            let start = queries.offsets.rows_of(first).start;
            let mut end = first + 1;
            let tokens_to = |end: usize| (queries.offsets.rows_of(end - 1).end - start) as usize; // CAST: widening
            while end < after && tokens_to(end + 1) <= GROUP_TOKENS {
                end += 1;
            }
            let mut rows = vec![0; tokens_to(end) * row_bytes];
            queries.tokens.read_rows(start.into(), &mut rows)?;
            let measured = Measured::new(&self.shape, start.into(), &rows);
            let measured = measured.map_err(|bad| self.bad(queries.tokens, bad))?;
            let state = |query: usize| {
                let Range { start: from, end: to } = queries.offsets.rows_of(query);
                let tokens = (from - start) as usize..(to - start) as usize; // CAST: widening
                let norms = measured.square_norms[tokens.clone()].iter().map(|norm| norm.sqrt());
                let are_safe = norms.clone().all(is_safe);
                let allowed = part.allowed.get(query - begun).cloned();
                State { tokens, norms: norms.sum(), are_safe, allowed, best: Best::new(self.k) }
            };
            let (packed, queries) = (self.max_sim.query(&rows), (first..end).map(state).collect());
            groups.push(Group { packed, rows, measured, queries });
            first = end;
        }
        Ok(groups)
    }

    /// The document after the last of a block that begins with document `first`.
    fn block_end(&self, first: usize) -> usize {
        let offsets = self.base.offsets;
        let rows = (BLOCK_BYTES / self.shape.row_bytes()) as u32; // CAST: small
        let limit = offsets.rows_of(first).start.saturating_add(rows);
        let end = offsets.offsets().partition_point(|&offset| offset <= limit) - 1;
        end.clamp(first + 1, offsets.documents())
    }

    /// A document of a block whose first row is number `start`.
    fn document<'a>(&self, number: usize, start: u32, rows: &'a [u8]) -> Result<Document<'a>, BadRow> {
        let (row_bytes, of) = (self.shape.row_bytes(), self.base.offsets.rows_of(number));
        let at = |row: u32| (row - start) as usize * row_bytes; // CAST: widening
        let rows = &rows[at(of.start)..at(of.end)];
        let measured = match self.is_exact() {
            true => Measured { values: Vec::new(), square_norms: Vec::new() },
            false => Measured::new(&self.shape, of.start.into(), rows)?,
        };
        let norms = measured.square_norms.iter().map(|norm| norm.sqrt());
        let (norm_max, is_safe) = (norms.clone().fold(0.0, f64::max), norms.clone().all(is_safe));
        Ok(Document { number: number as u32, rows, measured, norm_max, is_safe }) // CAST: fewer than rows
    }

    /// Whether the kernel's products are exact.
    fn is_exact(&self) -> bool {
        exact::kernel_is_exact(self.shape.dtype, self.shape.dim)
    }

    fn compare(
        &self,
        document: &Document<'_>,
        packed: &mut DocumentTokens,
        maxima: &mut Vec<f32>,
        group: &mut Group,
    ) {
        let Group { rows, packed: queries, measured, queries: states } = group;
        maxima.resize(queries.len(), 0.0);
        self.max_sim.maxima(queries, packed, maxima);
        // As in a search for single rows; each of the products may be off by as much.
        let relative = (self.shape.dim as f64 + ROUNDINGS_EXTRA) * ROUNDING; // CAST: small
        for State { tokens, norms, are_safe, allowed, best } in states {
            if allowed.as_ref().is_some_and(|allowed| !allowed.contains(document.number)) {
                continue;
            }
            let rough: f64 = maxima[tokens.clone()].iter().map(|&max| f64::from(max)).sum();
            let margin = if self.is_exact() { 0.0 } else { relative * *norms * document.norm_max };
            // Documents come in order, so an equal one never wins the tie.
            let is_beyond = best.worst_key().is_some_and(|worst| -(rough + margin) >= worst);
            if is_beyond && (self.is_exact() || (*are_safe && document.is_safe)) {
                continue;
            }
            let score = match self.is_exact() {
                true => rough,
                false => tokens.clone().map(|token| self.largest(token, (rows, measured), document)).sum(),
            };
            best.offer(Neighbour { key: -score, row: document.number });
        }
    }

    /// The largest product of a token of a group with any token of a document, in f64.
    fn largest(&self, token: usize, (rows, measured): (&[u8], &Measured), document: &Document<'_>) -> f64 {
        let Shape { dtype, dim, .. } = self.shape;
        let row_bytes = self.shape.row_bytes();
        let operation = Operation::InnerProduct;
        let products: &mut dyn Iterator<Item = f64> = match dtype {
            DType::I8 | DType::U8 => {
                let query = &rows[token * row_bytes..(token + 1) * row_bytes];
                let of = document.rows.chunks_exact(row_bytes);
                &mut of.map(move |row| exact::integer_value(operation, dtype, query, row))
            }
            DType::F32 | DType::F16 => {
                let query = &measured.values[token * dim..(token + 1) * dim];
                let of = document.measured.values.chunks_exact(dim);
                &mut of.map(move |row| exact::float_value(operation, query, row))
            }
        };
        products.fold(f64::NEG_INFINITY, f64::max)
    }
}

#[cfg(test)]
mod tests;
