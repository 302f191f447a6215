//! Exact distances of single vectors.
use spandrel_index::format::{Record, VectorsOf};
use spandrel_index::kernels::{Operation, PairKernel};
use spandrel_index::{Index, Metric, VectorsShape};

use crate::subject::Prepared;

/// Compares single vectors of one column of an index with queries. One per worker.
#[derive(Debug)]
pub(crate) struct Reranker {
    kernel: PairKernel,
    metric: Metric,
}

/// Compares with vectors that are searched, and with those of the column where there is one.
#[derive(Debug)]
pub(crate) struct Rerankers {
    main: Reranker,
    column: Option<Reranker>,
}

impl Rerankers {
    pub(crate) fn new(index: &Index) -> Rerankers {
        let column = index.column().map(|_| Reranker::of(index.shape_of(VectorsOf::Column)));
        Rerankers { main: Reranker::new(index), column }
    }

    pub(crate) fn of(&self, vectors: VectorsOf) -> &Reranker {
        match (vectors, &self.column) {
            (VectorsOf::Main, _) => &self.main,
            (VectorsOf::Column, Some(column)) => column,
            (VectorsOf::Column, None) => unreachable!("vectors of a column that the index does not have"),
        }
    }
}

impl Reranker {
    /// For the vectors of an index that are searched.
    pub(crate) fn new(index: &Index) -> Reranker {
        Reranker::of(index.shape_of(VectorsOf::Main))
    }

    /// For vectors of a shape.
    pub(crate) fn of(shape: VectorsShape) -> Reranker {
        let VectorsShape { metric, dtype, dim, .. } = shape;
        let operation = match metric {
            Metric::L2 => Operation::SquaredL2,
            Metric::InnerProduct | Metric::Cosine => Operation::InnerProduct,
        };
        Reranker { kernel: PairKernel::new(operation, dtype, dim), metric }
    }

    /// The score of one vector.
    pub(crate) fn score(&self, record: Record<'_>, query: Prepared<'_>) -> f32 {
        let value = self.kernel.score(query.row, record.vector);
        match self.metric {
            Metric::L2 => value,
            Metric::InnerProduct => -value,
            Metric::Cosine => query.cosine_score(value, record.inverse_norm.unwrap_or_default()),
        }
    }
}
