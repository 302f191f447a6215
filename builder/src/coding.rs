//! What comparing codes by the queries of a sample takes.
use spandrel_index::kernels::scan::{BLOCK_VECTORS, FACTOR_BYTES};

use crate::config::{BuildConfig, Params};
use crate::query_sample::{CODING_MAX, QuerySampleParams};
use crate::stages::{neighbours_bytes, scores_bytes};

/// Nearest sampled vectors of a query that are looked at.
pub(crate) const NEAR: usize = 32;
/// Sampled vectors that queries are compared with at a time.
pub(crate) const CHUNK_ROWS: usize = 8192;
/// Queries by which codes are compared, at most.
pub(crate) const JUDGES_MAX: usize = 512;

impl BuildConfig {
    /// Whether the code can be made for the queries of a sample, and may be.
    pub(crate) fn makes_codes(&self, dim: usize) -> bool {
        self.code.knows_queries(dim) && self.codebooks.is_none() && !self.plain_codes
    }
}

impl Params {
    /// The sample of queries, where codes are made for it if that measures better.
    pub(crate) fn coding_sample(&self) -> Option<QuerySampleParams> {
        self.query_sample.filter(|sample| sample.codes)
    }
}

/// Rows of queries as seen from heads, at most: their products with themselves take time with the square of the dimension.
pub(crate) fn seen_rows(dim: usize) -> usize {
    const PRODUCTS: usize = 8_000_000_000;
    (PRODUCTS / (dim * dim)).clamp(8192, 65_536)
}

/// Bytes of memory that comparing codes takes beside training one, and training one that knows queries beside a plain one.
pub(crate) fn comparing_bytes(params: &Params) -> u64 {
    if params.coding_sample().is_none() {
        return 0;
    }
    // CAST: widening, here and below
    let (dim, near) = (params.dim as u64, NEAR as u64);
    let rows = params.vectors.min(params.code.sample_rows(params.dim) as u64);
    let packed = 4 * params.head_dim() as u64 + params.head_row_bytes() as u64;
    let sample = rows * (params.row_bytes() as u64 + 4);
    let queries = CODING_MAX * (2 * packed + 4 * dim + neighbours_bytes(near));
    let chunk = (CHUNK_ROWS as u64).min(rows) * 2 * packed;
    let seen = seen_rows(params.dim) as u64 * 12 * dim;
    let judged = judged_bytes(params);
    // Residuals as mapped, and matrices in double precision.
    let mapped = rows * 4 * dim + 12 * 8 * dim * dim;
    let comparing = chunk + params.threads as u64 * scores_bytes();
    sample + queries + judged + mapped.max(comparing).max(seen)
}

/// Bytes of the vectors that queries judge by, with their codes: in whole blocks of sixteen for each list, and twice that while a
/// list is coded.
fn judged_bytes(params: &Params) -> u64 {
    // CAST: widening, here and below
    let head = 4 * params.head_dim() as u64;
    let block = (BLOCK_VECTORS * params.code.code_bytes(params.dim) + FACTOR_BYTES) as u64;
    let cases = JUDGES_MAX as u64 * NEAR as u64;
    let rows = cases.min(params.vectors);
    let groups = rows.min(params.lists_most(params.lists));
    let blocks = groups + rows / BLOCK_VECTORS as u64;
    cases * 64 + rows * head + groups * (head + 128) + 2 * blocks * block
}
