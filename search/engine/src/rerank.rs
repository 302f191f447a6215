//! Exact distances of single vectors.
use spandrel_index::format::Record;
use spandrel_index::kernels::{Operation, PairKernel};
use spandrel_index::{Index, Metric};

use crate::subject::Prepared;

/// Compares single vectors of one index with queries. One per worker.
#[derive(Debug)]
pub(crate) struct Reranker {
    kernel: PairKernel,
    metric: Metric,
}

impl Reranker {
    pub(crate) fn new(index: &Index) -> Reranker {
        let operation = match index.metric() {
            Metric::L2 => Operation::SquaredL2,
            Metric::InnerProduct | Metric::Cosine => Operation::InnerProduct,
        };
        Reranker { kernel: PairKernel::new(operation, index.dtype(), index.dim()), metric: index.metric() }
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
