//! Codes in blocks of sixteen vectors: how they lie, and the reference of their scan.
//!
//! ```text
//! block  = rows x 64 bytes              row: four bytes of each of sixteen vectors, vector by vector
//! 4 bytes of a vector = 32 / bits parts of its code, `bits` wide: part e is at bit (e / 4) bits of byte e % 4
//! factors of a block, 88 bytes
//!   0  2 scale of add, bf16     8 32 add: i16 x 16     72 16 error: u8 x 16
//!   2  2 scale of mul, bf16    40 32 mul: i16 x 16
//!   4  2 scale of error, bf16
//! ```
//! Parts lie so that one shift and one mask give sixty-four bytes which the byte products of the instruction sets
//! multiply with four query values each: 128 dimensions take 32 products a block, at any number of bits. Dot products
//! are exact in `i32`, and what follows is rounded in one order, so every variant gives the same estimates.
/// Vectors in a block of codes.
pub const BLOCK_VECTORS: usize = 16;
/// Bytes of one row of a block.
pub const ROW_BYTES: usize = 64;
/// Bytes of the factors of one block.
pub const FACTOR_BYTES: usize = 88;
/// Where the parts of a block's factors begin.
pub(crate) const ADD_AT: usize = 8;
pub(crate) const MUL_AT: usize = ADD_AT + 2 * BLOCK_VECTORS;
pub(crate) const ERROR_AT: usize = MUL_AT + 2 * BLOCK_VECTORS;
const _: () = assert!(ERROR_AT + BLOCK_VECTORS == FACTOR_BYTES);

/// Codes in blocks of [`BLOCK_VECTORS`].
#[derive(Debug, Clone, Copy)]
pub struct Blocks<'a> {
    /// Rows of all blocks.
    pub rows: &'a [u8],
    /// Factors of all blocks, [`FACTOR_BYTES`] each.
    pub factors: &'a [u8],
}

/// Consecutive rows whose parts have one width.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlaneRun {
    /// Width of a part: 1, 2 or 4.
    pub bits: u8,
    /// Rows of the run.
    pub rows: usize,
    /// The sum so far counts this many powers of two more than the parts of this run.
    pub raise: u8,
}

impl PlaneRun {
    /// Parts of one vector that a row holds.
    pub(crate) const fn row_parts(bits: u8) -> usize {
        32 / bits as usize
    }

    /// Parts of one vector that the run holds.
    pub(crate) fn parts(&self) -> usize {
        self.rows * Self::row_parts(self.bits)
    }
}

/// What turns a dot product `p` of code and query into an estimate: `base + add + (p - offset) scale mul`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ScanTerms {
    /// Squared distance from the query to the head.
    pub base: f32,
    /// What the middle of the codes' range contributes to every dot product.
    pub offset: f32,
    /// Value of one step of the query's bytes.
    pub scale: f32,
}

/// Blocks to be scanned, all checked by [`ScanKernel::scan`](super::scan::ScanKernel::scan).
pub(super) struct ScanJob<'a> {
    pub(super) runs: &'a [PlaneRun],
    /// Query values, part by part in the order of the rows.
    pub(super) table: &'a [i8],
    pub(super) rows: &'a [u8],
    pub(super) factors: &'a [[u8; FACTOR_BYTES]],
    pub(super) terms: ScanTerms,
}

/// # Safety
/// The machine runs the instruction set. Runs are of 1, 2 or 4 bits; `table` has a value for each of their parts,
/// `rows` their rows for each block of `factors`, `out` sixteen places for each.
pub(super) type ScanFn = unsafe fn(job: &ScanJob<'_>, out: &mut [[f32; BLOCK_VECTORS]]);

/// A bf16 as stored.
#[inline(always)]
pub(super) fn wide(low: u8, high: u8) -> f32 {
    widened(u16::from_le_bytes([low, high]))
}

#[inline(always)]
fn widened(bf16: u16) -> f32 {
    f32::from_bits(u32::from(bf16) << 16)
}

/// Standard error of vector `lane` of a block, before it is multiplied with the distance to the head.
#[inline]
pub fn error_of(factors: &[u8; FACTOR_BYTES], lane: usize) -> f32 {
    wide(factors[4], factors[5]) * f32::from(factors[ERROR_AT + lane])
}

/// What no factor in some blocks exceeds, signs apart.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Maxima {
    pub(crate) error: f32,
    /// Of the factors of dot products.
    pub(crate) mul: f32,
    /// Of what [`steps`] says of each block.
    pub(crate) steps: (f32, f32),
}

/// The maxima of some blocks, by their steps alone.
#[inline]
pub(crate) fn maxima(blocks: &[[u8; FACTOR_BYTES]]) -> Maxima {
    // Of bf16 without a sign the larger has the larger bits: this is done for every block scanned.
    let (mut add, mut mul, mut error) = (0, 0, 0);
    for factors in blocks {
        let of = |at: usize| u16::from_le_bytes([factors[at], factors[at + 1]]);
        (add, mul, error) = (add.max(of(0)), mul.max(of(2)), error.max(of(4)));
    }
    let [add, mul, error] = [add, mul, error].map(widened);
    Maxima { error: error * f32::from(u8::MAX), mul: mul * f32::from(i16::MAX), steps: (add, mul) }
}

/// What is added to the estimate of vector `lane` of a block.
#[inline]
pub(crate) fn add_of(factors: &[u8; FACTOR_BYTES], lane: usize) -> f32 {
    let at = ADD_AT + 2 * lane;
    wide(factors[0], factors[1]) * f32::from(i16::from_le_bytes([factors[at], factors[at + 1]]))
}

/// The factor of the dot product of vector `lane` of a block.
#[inline]
pub(crate) fn mul_of(factors: &[u8; FACTOR_BYTES], lane: usize) -> f32 {
    let at = MUL_AT + 2 * lane;
    wide(factors[2], factors[3]) * f32::from(i16::from_le_bytes([factors[at], factors[at + 1]]))
}

/// What `add` and `mul` are rounded to in a block, whose vectors share the steps.
#[inline]
pub(crate) fn steps(factors: &[u8; FACTOR_BYTES]) -> (f32, f32) {
    (wide(factors[0], factors[1]), wide(factors[2], factors[3]))
}

pub(super) fn scan_scalar(job: &ScanJob<'_>, out: &mut [[f32; BLOCK_VECTORS]]) {
    let block_rows: usize = job.runs.iter().map(|run| run.rows).sum();
    let mut rows = job.rows.chunks_exact(ROW_BYTES);
    for (factors, out) in job.factors.iter().zip(out) {
        let mut dots = [0_i32; BLOCK_VECTORS];
        let mut table = job.table;
        let mut block = rows.by_ref().take(block_rows);
        for run in job.runs {
            dots.iter_mut().for_each(|dot| *dot <<= run.raise);
            for row in block.by_ref().take(run.rows) {
                let (values, rest) = table.split_at(PlaneRun::row_parts(run.bits));
                table = rest;
                for (dot, bytes) in dots.iter_mut().zip(row.as_chunks::<4>().0) {
                    for (part, &value) in values.iter().enumerate() {
                        let code = bytes[part % 4] >> (part / 4 * run.bits as usize) & ((1 << run.bits) - 1);
                        *dot += i32::from(code) * i32::from(value);
                    }
                }
            }
        }
        for (lane, (out, dot)) in out.iter_mut().zip(dots).enumerate() {
            *out = estimate(job.terms, factors, lane, dot);
        }
    }
}

/// The estimate that a dot product of vector `lane` of a block gives.
#[inline]
pub(super) fn estimate(terms: ScanTerms, factors: &[u8; FACTOR_BYTES], lane: usize, dot: i32) -> f32 {
    let mul = mul_of(factors, lane) * terms.scale;
    (dot as f32 - terms.offset) * mul + (terms.base + add_of(factors, lane)) // CAST: rounds
}
