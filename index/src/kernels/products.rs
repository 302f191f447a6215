//! What kernels of products with a matrix take and give, and their reference; [`matrix`](super::matrix) packs it.

/// Rows of a group.
pub(crate) const GROUP_ROWS: usize = 16;

/// Two neighbouring elements of sixteen rows.
#[derive(Debug, Clone, Copy, PartialEq)]
#[repr(C, align(64))]
pub(super) struct Line(pub(super) [[i16; 2]; GROUP_ROWS]);

/// What is multiplied, all checked by [`PackedMatrix::products`](super::matrix::PackedMatrix::products).
pub(super) struct ProductsJob<'a> {
    /// Of a group.
    pub(super) pairs: usize,
    pub(super) lines: &'a [Line],
    /// Rows back to back.
    pub(super) rows: &'a [[i16; 2]],
}

/// # Safety
/// The machine runs the instruction set. `job.lines` has `pairs` lines for each group. `job.rows` has `pairs` pairs for
/// each of the rows that the function takes. `out` has a place for each group of each row, row by row.
pub(super) type ProductsFn = unsafe fn(job: &ProductsJob<'_>, out: &mut [[i32; GROUP_ROWS]]);

pub(super) fn products_scalar<const ROWS: usize>(job: &ProductsJob<'_>, out: &mut [[i32; GROUP_ROWS]]) {
    let groups = out.len() / ROWS;
    for (row, out) in job.rows.chunks_exact(job.pairs).zip(out.chunks_exact_mut(groups)) {
        for (group, sums) in job.lines.chunks_exact(job.pairs).zip(out) {
            *sums = [0; GROUP_ROWS];
            for (line, pair) in group.iter().zip(row) {
                for (sum, of_row) in sums.iter_mut().zip(&line.0) {
                    let [a, b] = [0, 1].map(|at| i32::from(of_row[at]) * i32::from(pair[at]));
                    *sum = sum.wrapping_add(a.wrapping_add(b));
                }
            }
        }
    }
}
