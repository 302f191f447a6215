//! A query as it is compared with heads, codes and vectors.
use spandrel_index::codes::CodeQuery;
use spandrel_index::format::VectorsOf;
use spandrel_index::{Index, Metric, Segment, StoredVectors, VectorsShape, inverse_norm};

use crate::accept::Accepted;

/// What follows from a query's row in one index. Its memory is used again by the queries that follow.
#[derive(Debug, Default)]
pub(crate) struct Subject {
    head_row: Vec<u8>,
    inverse_norm: f32,
    /// Of its row in the column, where it has one.
    column_inverse_norm: f32,
    /// For each segment with a model of its own, by number.
    codes: Vec<CodeQuery>,
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
    /// As vectors that are searched are compared with it.
    pub(crate) exact: Prepared<'a>,
    /// As candidates are compared with it, and by which vectors.
    pub(crate) compared: Prepared<'a>,
    pub(crate) compare_by: VectorsOf,
    /// Its row in head space.
    pub(crate) head_row: &'a [u8],
    /// As codes are compared with it, where lists hold them, by the segment whose model it is; made ready once the nearest
    /// head is known.
    codes: &'a [CodeQuery],
    /// Which vectors may be answers.
    pub(crate) accept: &'a Accepted,
}

impl<'a> Prepared<'a> {
    pub(crate) fn of(index: &Index, row: &'a [u8]) -> Prepared<'a> {
        Prepared::among(index.shape_of(VectorsOf::Main), row)
    }

    /// Compared with vectors of a shape.
    fn among(shape: VectorsShape, row: &'a [u8]) -> Prepared<'a> {
        let inverse_norm = if shape.metric == Metric::Cosine { inverse_norm(shape.dtype, row) } else { 0.0 };
        Prepared { row, inverse_norm }
    }
}

impl Subject {
    /// Takes up the row that another query has in the column, if it has one.
    pub(crate) fn set_column(&mut self, index: &Index, row: Option<&[u8]>) {
        let prepared = row.map(|row| Prepared::among(index.shape_of(VectorsOf::Column), row));
        self.column_inverse_norm = prepared.map_or(0.0, |prepared| prepared.inverse_norm);
    }

    /// Takes up another query.
    pub(crate) fn set(&mut self, index: &Index, row: &[u8]) {
        self.set_exact(index, row);
        index.space().map_query(index.dtype(), row, &mut self.head_row);
    }

    /// Takes up another query that is compared with vectors alone: it has no row in head space.
    pub(crate) fn set_exact(&mut self, index: &Index, row: &[u8]) {
        self.inverse_norm = Prepared::of(index, row).inverse_norm;
        self.head_row.clear();
    }

    /// What codes of the model of a segment are compared with.
    pub(crate) fn code(&mut self, segment: u16) -> &mut CodeQuery {
        let at = usize::from(segment);
        if self.codes.len() <= at {
            self.codes.resize_with(at + 1, CodeQuery::default);
        }
        &mut self.codes[at]
    }

    /// The query that was taken up, with the index, the row and the vectors to choose from that it came with.
    pub(crate) fn query<'a>(&'a self, index: &'a Index, row: &'a [u8], accept: &'a Accepted) -> Query<'a> {
        let exact = Prepared { row, inverse_norm: self.inverse_norm };
        let (compared, compare_by) = (exact, VectorsOf::Main);
        Query { index, exact, compared, compare_by, head_row: &self.head_row, codes: &self.codes, accept }
    }

    /// As [`Subject::query`], whose candidates are compared by `column`, its row in the column, if it has one.
    pub(crate) fn query_by<'a>(&'a self, query: Query<'a>, column: Option<&'a [u8]>) -> Query<'a> {
        let Some(row) = column else { return query };
        let compared = Prepared { row, inverse_norm: self.column_inverse_norm };
        Query { compared, compare_by: VectorsOf::Column, ..query }
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

impl<'a> Query<'a> {
    /// A segment of the index.
    pub(crate) fn segment(&self, number: u16) -> &'a Segment {
        &self.index.segments()[usize::from(number)]
    }

    /// Pages of the vectors by which candidates are compared.
    pub(crate) fn vectors(&self, segment: u16) -> &'a StoredVectors {
        self.segment(segment).vectors(self.compare_by)
    }

    /// What these vectors are like.
    pub(crate) fn shape(&self) -> VectorsShape {
        self.index.shape_of(self.compare_by)
    }

    /// What codes of a segment are compared with.
    pub(crate) fn code(&self, segment: &Segment) -> &'a CodeQuery {
        &self.codes[usize::from(segment.heads_of)]
    }

    /// The squared distance in head space that goes with a score.
    pub(crate) fn distance_of_score(&self, score: f32) -> f32 {
        self.index.space().distance_of_score(score, self.index.dtype(), self.exact.row)
    }

    /// The score that goes with a squared distance in head space.
    pub(crate) fn score_of_distance(&self, distance: f32) -> f32 {
        self.index.space().score_of_distance(distance, self.index.dtype(), self.exact.row)
    }
}
