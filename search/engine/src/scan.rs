//! One list that has arrived: checked, and where it holds exact vectors compared with the query.
use spandrel_index::format::{CodedList, FullLayout, ListLayout, list_hash};
use spandrel_index::kernels::{Operation, PairKernel};
use spandrel_index::{Index, Metric};

use crate::DamageReason;
use crate::fetch::ListPlace;
use crate::top::TopK;

/// Rows scored before their scores are looked at.
const BLOCK_ROWS: usize = 256;

/// A query ready to be compared.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Prepared<'a> {
    pub(crate) row: &'a [u8],
    /// One over its length, under cosine.
    pub(crate) inverse_norm: f32,
}

impl Prepared<'_> {
    /// `1 - cos` from the inner product with a vector and one over its length.
    pub(crate) fn cosine_score(&self, product: f32, inverse_norm: f32) -> f32 {
        let cosine = product * self.inverse_norm * inverse_norm;
        // Rounding may pass 1; a NaN stays one.
        if cosine > 1.0 { 0.0 } else { 1.0 - cosine }
    }
}

/// Checks the bytes of a list, with which nothing else may be done before: the view of a list of codes, none of one of
/// exact vectors.
pub(crate) fn check<'a>(
    index: &Index,
    place: &ListPlace,
    bytes: &'a [u8],
) -> Result<Option<CodedList<'a>>, DamageReason> {
    let found = list_hash(index.uuid(), place.list, bytes);
    if found != place.hash {
        return Err(DamageReason::Hash { found, expected: place.hash });
    }
    let ListLayout::Coded(layout) = index.list_layout() else { return Ok(None) };
    let vectors = index.vectors();
    match layout.view(bytes, (place.primaries, place.replicas), vectors) {
        Ok(list) => Ok(Some(list)),
        Err(stray) => Err(DamageReason::Position { position: stray.position, vectors }),
    }
}

/// Compares lists of one index with queries. One per worker.
pub(crate) struct Scanner {
    kernel: PairKernel,
    layout: FullLayout,
    metric: Metric,
    scores: [f32; BLOCK_ROWS],
}

impl Scanner {
    pub(crate) fn new(index: &Index, layout: FullLayout) -> Scanner {
        let operation = match index.metric() {
            Metric::L2 => Operation::SquaredL2,
            Metric::InnerProduct | Metric::Cosine => Operation::InnerProduct,
        };
        Scanner {
            kernel: PairKernel::new(operation, index.dtype(), index.dim()),
            layout,
            metric: index.metric(),
            scores: [0.0; BLOCK_ROWS],
        }
    }

    /// Offers every vector of a list of `count` entries that passed its check.
    pub(crate) fn scan(&mut self, count: usize, bytes: &[u8], query: Prepared<'_>, top: &mut TopK) {
        let list = self.layout.view(bytes, count);
        let row_bytes = self.layout.row_bytes;
        let mut first = 0;
        for rows in list.vectors.chunks(BLOCK_ROWS * row_bytes) {
            let scores = &mut self.scores[..rows.len() / row_bytes];
            self.kernel.score_rows(query.row, rows, scores);
            match self.metric {
                Metric::L2 => {}
                Metric::InnerProduct => scores.iter_mut().for_each(|s| *s = -*s),
                Metric::Cosine => {
                    for (at, score) in scores.iter_mut().enumerate() {
                        *score = query.cosine_score(*score, list.inverse_norm(first + at));
                    }
                }
            }
            for (at, &score) in scores.iter().enumerate() {
                if top.wants(score) {
                    top.offer(score, list.id(first + at));
                }
            }
            first += scores.len();
        }
    }
}
