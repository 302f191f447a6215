//! What codes are trained with, and the queries that they are made for.
use spandrel_index::codes::{CodeModel, QueryMoments, TrainError};
use spandrel_index::{HeadSpace, for_each_element};

use super::neighbours::{Nearest, Queries};
use crate::coding::{CHUNK_ROWS, NEAR, seen_rows};
use crate::config::Params;
use crate::query_sample::QuerySampleParams;
use crate::state::BuildState;
use crate::{BuildError, Rows};

/// Filed vectors that residuals were taken from.
#[derive(Default)]
pub(super) struct FiledSample {
    /// Their bytes, back to back.
    pub(super) vectors: Vec<u8>,
    /// The list of each.
    pub(super) lists: Vec<u32>,
}

/// What codes are trained with.
pub(super) struct Training<'a> {
    pub(super) params: &'a Params,
    pub(super) space: HeadSpace,
    /// Heads of all lists, as rows of head space.
    pub(super) heads: &'a [u8],
    pub(super) mean: &'a [f32],
    pub(super) residuals: &'a [f32],
    pub(super) seed: u64,
    pub(super) sample: FiledSample,
}

/// Queries of a sample that codes are made for or compared by.
pub(super) struct CodingQueries {
    /// Elements in head space without that of lifted inner product, back to back.
    pub(super) rows: Vec<f32>,
    /// Numbers of the nearest sampled vectors of each, nearest first, in runs of `near`.
    pub(super) nearest: Vec<u32>,
    pub(super) near: usize,
}

/// A code for queries as they are seen from heads or from their mean, with a ridge.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Form {
    pub(super) anchored: bool,
    pub(super) ridge: f64,
}

impl Training<'_> {
    /// The head of a list: its elements in head space, that of lifted inner product included.
    pub(super) fn head(&self, list: u32) -> Vec<f32> {
        let row = &self.heads[list as usize * self.params.head_row_bytes()..][..self.params.head_row_bytes()];
        let mut head = Vec::with_capacity(self.params.head_dim());
        for_each_element(self.params.head_dtype(), row, |x| head.push(x));
        head
    }

    /// A sampled vector in head space, that of lifted inner product included.
    pub(super) fn vector(&self, number: u32) -> Vec<f32> {
        let bytes = self.params.row_bytes();
        let mut vector = Vec::with_capacity(self.params.head_dim());
        let row = &self.sample.vectors[number as usize * bytes..][..bytes];
        self.space.float_vector(self.params.dtype, row, &mut vector);
        vector
    }

    /// The code, made for queries like `moments` if there are any.
    pub(super) fn train(
        &self,
        residuals: Vec<f32>,
        moments: Option<&QueryMoments>,
    ) -> Result<CodeModel, TrainError> {
        CodeModel::train_for(self.params.code, self.mean.to_vec(), residuals, self.seed, moments)
    }

    /// What some of the queries are like, from where estimates of a form are measured from.
    pub(super) fn moments(&self, queries: &CodingQueries, some: &[usize], form: Form) -> QueryMoments {
        let dim = self.params.dim;
        let moments = if form.anchored {
            let anchor = queries.mean(some, dim);
            let seen = |&at: &usize| queries.row(at, dim).iter().zip(&anchor).map(|(x, p)| x - p);
            let rows: Vec<f32> = some.iter().flat_map(seen).collect();
            QueryMoments::of(&rows, dim, Some(anchor))
        } else {
            let near = (seen_rows(dim) / some.len().max(1)).clamp(1, queries.near.max(1));
            let mut rows = Vec::with_capacity(some.len() * near * dim);
            for &at in some {
                for &number in queries.nearest(at).iter().take(near) {
                    let head = self.head(self.sample.lists[number as usize]);
                    rows.extend(queries.row(at, dim).iter().zip(&head).map(|(x, c)| x - c));
                }
            }
            QueryMoments::of(&rows, dim, None)
        };
        moments.with_ridge(form.ridge)
    }
}

impl CodingQueries {
    /// Reads them, and compares them with the sampled vectors.
    pub(super) fn read(
        state: &BuildState<'_>,
        training: &Training<'_>,
        of: QuerySampleParams,
    ) -> Result<CodingQueries, BuildError> {
        let &BuildState { params, input, context, .. } = state;
        let Some(source) = input.query_sample else { unreachable!("a build with a sample has its source") };
        let (space, mut query) = (training.space, vec![0; source.row_bytes()]);
        let (mut rows, mut bytes) = (Vec::new(), Vec::new());
        for row in of.coding_rows() {
            source.read_rows(row, &mut query)?;
            space.float_query(params.dtype, &query, &mut rows);
            space.map_query(params.dtype, &query, &mut bytes);
        }
        let (dtype, dim) = (params.head_dtype(), params.head_dim());
        let packed = Queries::new(Rows { dtype, dim, bytes: &bytes });
        let near = NEAR.min(training.sample.lists.len());
        let mut nearest = Nearest::new(packed.len(), near);
        let mut mapped = Vec::new();
        let chunks = training.sample.vectors.chunks(CHUNK_ROWS * params.row_bytes());
        for (vectors, first) in chunks.zip((0..).step_by(CHUNK_ROWS)) {
            context.check_stop()?;
            mapped.clear();
            vectors
                .chunks_exact(params.row_bytes())
                .for_each(|vector| space.map_vector(params.dtype, vector, &mut mapped));
            nearest.add(&packed, &mapped, first, context.pool);
        }
        let nearest = nearest.finish().of_queries().flatten().copied().collect();
        Ok(CodingQueries { rows, nearest, near })
    }

    pub(super) fn len(&self) -> usize {
        self.nearest.len().checked_div(self.near).unwrap_or(0)
    }

    pub(super) fn row(&self, at: usize, dim: usize) -> &[f32] {
        &self.rows[at * dim..][..dim]
    }

    pub(super) fn nearest(&self, at: usize) -> &[u32] {
        &self.nearest[at * self.near..][..self.near]
    }

    fn mean(&self, some: &[usize], dim: usize) -> Vec<f32> {
        let mut sums = vec![0.0_f64; dim];
        for &at in some {
            sums.iter_mut().zip(self.row(at, dim)).for_each(|(sum, &x)| *sum += f64::from(x));
        }
        let count = some.len().max(1) as f64; // CAST: exact
        sums.into_iter().map(|sum| (sum / count) as f32).collect() // CAST: rounds
    }
}
