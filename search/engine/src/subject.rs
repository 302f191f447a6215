//! A query as it is compared with heads, codes and vectors.
use spandrel_index::codes::CodeQuery;
use spandrel_index::{Index, Metric, inverse_norm};

use crate::accept::Accepted;

/// What follows from a query's row in one index. Its memory is used again by the queries that follow.
#[derive(Debug, Default)]
pub(crate) struct Subject {
    head_row: Vec<u8>,
    inverse_norm: f32,
    code: CodeQuery,
}

/// A query ready to be compared with vectors.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Prepared<'a> {
    /// As it was given.
    pub(crate) row: &'a [u8],
    /// One over its length, under cosine.
    pub(crate) inverse_norm: f32,
}

/// A query in one index.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Query<'a> {
    pub(crate) index: &'a Index,
    /// As vectors are compared with it.
    pub(crate) exact: Prepared<'a>,
    /// Its row in head space.
    pub(crate) head_row: &'a [u8],
    /// As codes are compared with it, where lists hold them; made ready once its nearest head is known.
    pub(crate) code: &'a CodeQuery,
    /// Which vectors may be answers.
    pub(crate) accept: &'a Accepted,
}

impl Subject {
    /// Takes up another query.
    pub(crate) fn set(&mut self, index: &Index, row: &[u8]) {
        self.inverse_norm =
            if index.metric() == Metric::Cosine { inverse_norm(index.dtype(), row) } else { 0.0 };
        self.head_row.clear();
        index.space().map_query(index.dtype(), row, &mut self.head_row);
    }

    /// What codes are compared with.
    pub(crate) fn code(&mut self) -> &mut CodeQuery {
        &mut self.code
    }

    /// The query that was taken up, with the index, the row and the vectors to choose from that it came with.
    pub(crate) fn query<'a>(&'a self, index: &'a Index, row: &'a [u8], accept: &'a Accepted) -> Query<'a> {
        let exact = Prepared { row, inverse_norm: self.inverse_norm };
        Query { index, exact, head_row: &self.head_row, code: &self.code, accept }
    }
}

impl Prepared<'_> {
    /// `1 - cos` from the inner product with a vector and one over its length.
    pub(crate) fn cosine_score(&self, product: f32, inverse_norm: f32) -> f32 {
        let cosine = product * self.inverse_norm * inverse_norm;
        // Rounding may pass 1; a NaN stays one.
        if cosine > 1.0 { 0.0 } else { 1.0 - cosine }
    }
}

impl Query<'_> {
    /// The squared distance in head space that goes with a score.
    pub(crate) fn distance_of_score(&self, score: f32) -> f32 {
        self.index.space().distance_of_score(score, self.index.dtype(), self.exact.row)
    }

    /// The score that goes with a squared distance in head space.
    pub(crate) fn score_of_distance(&self, distance: f32) -> f32 {
        self.index.space().score_of_distance(distance, self.index.dtype(), self.exact.row)
    }
}
