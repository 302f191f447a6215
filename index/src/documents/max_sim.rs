//! MaxSim, which compares documents of many vectors: Khattab and Zaharia, "ColBERT: Efficient and Effective Passage Search via
//! Contextualized Late Interaction over BERT", SIGIR 2020.
use crate::DType;
use crate::kernels::{BlockKernel, LeftRows, Operation, RightRows};

/// Tokens of a document that are compared at once: their products with a query stay in the first-level cache.
const DOCUMENT_ROWS: usize = 128;
/// Tokens of queries that are compared at once: a panel of the widest kernel.
const QUERY_ROWS: usize = 32;

/// Compares the tokens of queries with those of documents by inner products in f32. Those of integers are exact below 2^24: of i8 to 1 023
/// dimensions, of u8 to 258.
#[derive(Debug, Clone, Copy)]
pub struct MaxSim {
    kernel: BlockKernel,
    row_bytes: usize,
}

/// Tokens of queries, ready to be compared.
#[derive(Debug, Clone)]
pub struct QueryTokens(RightRows);

/// Tokens of a document, ready to be compared, in memory that is used again for the next.
#[derive(Debug, Clone, Default)]
pub struct DocumentTokens {
    rows: LeftRows,
    products: Vec<f32>,
}

impl QueryTokens {
    /// Number of tokens.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl MaxSim {
    /// For tokens of `dim` elements.
    pub fn new(dtype: DType, dim: usize) -> MaxSim {
        MaxSim { kernel: BlockKernel::new(dtype, dim), row_bytes: dtype.row_bytes(dim) }
    }

    /// Makes the tokens of queries ready, rows back to back.
    pub fn query(&self, rows: &[u8]) -> QueryTokens {
        QueryTokens(self.kernel.pack_right(rows))
    }

    /// Makes the tokens of a document ready, rows back to back.
    pub fn document(&self, rows: &[u8], out: &mut DocumentTokens) {
        self.kernel.pack_left_inner(rows, &mut out.rows);
    }

    /// The largest inner product of each token of the queries with any token of the document: `out[i]` for token `i`. Negative infinity
    /// for a document without tokens.
    pub fn maxima(&self, queries: &QueryTokens, document: &mut DocumentTokens, out: &mut [f32]) {
        out.fill(f32::NEG_INFINITY);
        self.raise(queries, document, out);
    }

    /// Raises `out` to the largest inner product of each token of the queries with any token of the document, or of a part of it.
    pub fn raise(&self, queries: &QueryTokens, document: &mut DocumentTokens, out: &mut [f32]) {
        let DocumentTokens { rows, products } = document;
        products.resize(DOCUMENT_ROWS * QUERY_ROWS, 0.0);
        for (number, out) in out.chunks_mut(QUERY_ROWS).enumerate() {
            let range = number * QUERY_ROWS..number * QUERY_ROWS + out.len();
            for start in (0..rows.len()).step_by(DOCUMENT_ROWS) {
                let end = rows.len().min(start + DOCUMENT_ROWS);
                let products = &mut products[..(end - start) * range.len()];
                let (left, right) = (rows.range(start..end), queries.0.range(range.clone()));
                self.kernel.scores(Operation::InnerProduct, left, right, products);
                raise(out, products);
            }
        }
    }

    /// MaxSim of a query and a document: the sum over the query's tokens of the largest inner product with any token of the document.
    pub fn score(&self, query: &QueryTokens, document: &mut DocumentTokens, maxima: &mut Vec<f32>) -> f64 {
        maxima.resize(query.len(), 0.0);
        self.maxima(query, document, maxima);
        MaxSim::total(maxima)
    }

    /// MaxSim by the largest inner product of each token of a query.
    pub fn total(maxima: &[f32]) -> f64 {
        sum(maxima)
    }

    /// Bytes of a token.
    pub fn row_bytes(&self) -> usize {
        self.row_bytes
    }
}

/// Raises the maxima to rows of products.
#[inline]
fn raise(maxima: &mut [f32], products: &[f32]) {
    /// A branch on a NaN is left out of what the compiler makes of this.
    fn larger(max: f32, product: f32) -> f32 {
        if product > max { product } else { max }
    }
    match <&mut [f32; QUERY_ROWS]>::try_from(&mut *maxima) {
        Ok(maxima) => {
            for row in products.as_chunks::<QUERY_ROWS>().0 {
                maxima.iter_mut().zip(row).for_each(|(max, &product)| *max = larger(*max, product));
            }
        }
        Err(_) => {
            for row in products.chunks_exact(maxima.len()) {
                maxima.iter_mut().zip(row).for_each(|(max, &product)| *max = larger(*max, product));
            }
        }
    }
}

/// The sum of the maxima of a query's tokens, in their order.
pub(crate) fn sum(maxima: &[f32]) -> f64 {
    maxima.iter().map(|&max| f64::from(max)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::for_each_element;
    use crate::testing::random_rows;

    fn products(dtype: DType, query: &[u8], row: &[u8]) -> f64 {
        let values = |row| {
            let mut values = Vec::new();
            for_each_element(dtype, row, |x| values.push(f64::from(x)));
            values
        };
        values(query).iter().zip(values(row)).map(|(a, b)| a * b).sum()
    }

    #[test]
    fn the_largest_products_are_summed() {
        for (dtype, dim) in DType::ALL.into_iter().flat_map(|dtype| [5, 12, 128].map(|dim| (dtype, dim))) {
            let (max_sim, row_bytes) = (MaxSim::new(dtype, dim), dtype.row_bytes(dim));
            let mut document = DocumentTokens::default();
            for (queries, rows) in [(1, 1), (3, 7), (32, 128), (33, 129), (70, 300)] {
                let (query, of_document) =
                    (random_rows(dtype, dim, queries, 3), random_rows(dtype, dim, rows, 4));
                let best = |query: &[u8]| {
                    let products = of_document.chunks_exact(row_bytes).map(|row| products(dtype, query, row));
                    products.fold(f64::NEG_INFINITY, f64::max)
                };
                let wanted: f64 = query.chunks_exact(row_bytes).map(best).sum();
                max_sim.document(&of_document, &mut document);
                let found = max_sim.score(&max_sim.query(&query), &mut document, &mut Vec::new());
                let slack = if dtype.is_integer() { 0.0 } else { 1e-5 * (queries * dim) as f64 };
                assert!(
                    (found - wanted).abs() <= slack,
                    "{dtype} {dim}, {queries} and {rows}: {found}, {wanted}"
                );
            }
        }
    }
}
