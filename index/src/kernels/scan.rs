//! One query against blocks of codes: estimates of squared distances, sixteen vectors at a time.
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
//! multiply with four query values each: 128 dimensions take 32 products a block whatever their bits. Dot products
//! are exact in `i32`, and what follows is rounded in one order, so every variant gives the same estimates.
#![allow(unsafe_code)]

use super::Variant;
use super::lookup::{LookupFn, large_scalar, small_scalar};

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
    pub const fn row_parts(bits: u8) -> usize {
        32 / bits as usize
    }

    /// Parts of one vector that the run holds.
    pub fn parts(&self) -> usize {
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

/// Blocks to be scanned, all checked by [`ScanKernel::scan`].
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

/// A scan chosen once for the machine.
#[derive(Debug, Clone, Copy)]
pub struct ScanKernel {
    scan: ScanFn,
    /// For tables of 4 and of 8 bits.
    pub(super) small: LookupFn,
    pub(super) large: LookupFn,
}

impl Default for ScanKernel {
    /// The fastest this machine can run.
    fn default() -> ScanKernel {
        ScanKernel::with_variant(Variant::best())
    }
}

impl ScanKernel {
    /// The kernel of one variant, which this machine must be able to run.
    pub fn with_variant(variant: Variant) -> ScanKernel {
        assert!(variant.is_available(), "{variant} kernels cannot run here");
        let (scan, small): (ScanFn, LookupFn) = match variant {
            #[cfg(target_arch = "x86_64")]
            Variant::Avx2 => (super::avx2::scan, super::avx2::look_up_small),
            #[cfg(target_arch = "x86_64")]
            Variant::Avx512 => (super::avx512::scan, super::avx512::look_up_small),
            #[cfg(target_arch = "aarch64")]
            Variant::Neon => (super::neon::scan, super::neon::look_up_small),
            _ => (scan_scalar, small_scalar),
        };
        let large: LookupFn = match variant {
            #[cfg(target_arch = "x86_64")]
            Variant::Avx512 if std::arch::is_x86_feature_detected!("avx512vbmi") => {
                super::avx512::look_up_large
            }
            _ => large_scalar,
        };
        ScanKernel { scan, small, large }
    }

    /// Estimates for every vector of the blocks in `rows` and `factors`, into `out`, which has room for them exactly.
    ///
    /// # Panics
    /// When lengths do not agree.
    #[inline]
    pub fn scan(
        &self,
        runs: &[PlaneRun],
        table: &[i8],
        (rows, factors): (&[u8], &[u8]),
        terms: ScanTerms,
        out: &mut [f32],
    ) {
        let (factors, rest) = factors.as_chunks::<FACTOR_BYTES>();
        let (out, out_rest) = out.as_chunks_mut::<BLOCK_VECTORS>();
        let (mut block_rows, mut parts) = (0, 0);
        for run in runs {
            assert!(matches!(run.bits, 1 | 2 | 4), "parts of {} bits", run.bits);
            block_rows += run.rows;
            parts += run.parts();
        }
        assert!(rest.is_empty() && out_rest.is_empty() && out.len() == factors.len());
        assert_eq!(rows.len(), factors.len() * block_rows * ROW_BYTES);
        assert_eq!(table.len(), parts);
        let job = ScanJob { runs, table, rows, factors, terms };
        // SAFETY: the variant was checked in `with_variant`, the lengths just now.
        unsafe { (self.scan)(&job, out) };
    }
}

/// Asks for bytes that will be scanned soon, so that memory is waited for while others are scanned.
///
/// Into the second cache: on a list of 4 KB, whole searches in memory ran a third faster than without, and only a
/// fourteenth faster with the first cache, which takes fewer requests at a time.
#[inline]
pub fn prefetch(bytes: &[u8]) {
    for line in bytes.chunks(64) {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: a hint, which reads nothing, on an instruction of every x86-64.
        unsafe {
            use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
            _mm_prefetch::<_MM_HINT_T1>(line.as_ptr().cast());
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = line;
    }
}

/// A bf16 as stored.
#[inline(always)]
pub(super) fn wide(low: u8, high: u8) -> f32 {
    f32::from_bits(u32::from(u16::from_le_bytes([low, high])) << 16)
}

/// Standard error of vector `lane` of a block, before it is multiplied with the distance to the head.
#[inline]
pub fn error_of(factors: &[u8; FACTOR_BYTES], lane: usize) -> f32 {
    wide(factors[4], factors[5]) * f32::from(factors[ERROR_AT + lane])
}

/// No error and no factor of a dot product in a block is larger, signs apart.
#[inline]
pub fn maxima(factors: &[u8; FACTOR_BYTES]) -> (f32, f32) {
    let error = wide(factors[4], factors[5]) * f32::from(u8::MAX);
    (error, wide(factors[2], factors[3]) * f32::from(i16::MAX))
}

/// What is added to the estimate of vector `lane` of a block.
#[inline]
pub fn add_of(factors: &[u8; FACTOR_BYTES], lane: usize) -> f32 {
    let at = ADD_AT + 2 * lane;
    wide(factors[0], factors[1]) * f32::from(i16::from_le_bytes([factors[at], factors[at + 1]]))
}

/// The factor of the dot product of vector `lane` of a block.
#[inline]
pub fn mul_of(factors: &[u8; FACTOR_BYTES], lane: usize) -> f32 {
    let at = MUL_AT + 2 * lane;
    wide(factors[2], factors[3]) * f32::from(i16::from_le_bytes([factors[at], factors[at + 1]]))
}

/// What `add` and `mul` are rounded to in a block, whose vectors share the steps.
#[inline]
pub fn steps(factors: &[u8; FACTOR_BYTES]) -> (f32, f32) {
    (wide(factors[0], factors[1]), wide(factors[2], factors[3]))
}

/// The reference.
fn scan_scalar(job: &ScanJob<'_>, out: &mut [[f32; BLOCK_VECTORS]]) {
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

#[cfg(test)]
mod tests {
    use rand::{Rng, RngCore, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    fn run(bits: u8, rows: usize, raise: u8) -> PlaneRun {
        PlaneRun { bits, rows, raise }
    }

    #[test]
    fn every_variant_gives_the_references_estimates() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let shapes: [&[PlaneRun]; 7] = [
            &[run(1, 1, 0)],
            &[run(1, 4, 0)],
            &[run(2, 1, 0)],
            &[run(4, 3, 0)],
            &[run(2, 5, 0), run(1, 3, 1)],
            &[run(4, 2, 0), run(4, 2, 4)],
            &[run(4, 1, 0), run(2, 1, 2), run(1, 2, 1), run(4, 7, 0)],
        ];
        for runs in shapes {
            let block_rows: usize = runs.iter().map(|r| r.rows).sum();
            for blocks in 0..6 {
                for extreme in [false, true] {
                    let mut rows = vec![0xff; 1 + blocks * block_rows * ROW_BYTES];
                    let mut factors = vec![0; 1 + blocks * FACTOR_BYTES];
                    rng.fill_bytes(&mut factors);
                    // Scales between about 1 and 2, as a NaN would equal nothing.
                    for factors in factors[1..].chunks_mut(FACTOR_BYTES) {
                        for high in [1, 3, 5] {
                            factors[high] = 0x3f;
                        }
                    }
                    let mut table = vec![-127_i8; runs.iter().map(PlaneRun::parts).sum()];
                    if !extreme {
                        rng.fill_bytes(&mut rows);
                        table.iter_mut().for_each(|q| *q = rng.random_range(-127..=127));
                    }
                    let terms = ScanTerms { base: 3.5, offset: 100.5, scale: 0.25 };
                    let scan = |variant| {
                        let mut out = vec![f32::NAN; blocks * BLOCK_VECTORS];
                        let kernel = ScanKernel::with_variant(variant);
                        kernel.scan(runs, &table, (&rows[1..], &factors[1..]), terms, &mut out);
                        out
                    };
                    let expected = scan(Variant::Scalar);
                    for variant in Variant::available() {
                        assert_eq!(scan(variant), expected, "{variant} {runs:?} {blocks} blocks");
                    }
                }
            }
        }
    }

    #[test]
    fn the_reference_computes_what_it_says() {
        // One vector of the block has code 5 = 0b101 in part 6 of a run of four bits, all others zero.
        let mut rows = [0; ROW_BYTES];
        rows[4 * 3 + 2] = 5 << 4;
        let mut factors = [0; FACTOR_BYTES];
        let one = 1.0_f32.to_bits().to_le_bytes();
        for scale in 0..3 {
            factors[2 * scale..2 * scale + 2].copy_from_slice(&one[2..]);
        }
        factors[ADD_AT + 6..ADD_AT + 8].copy_from_slice(&(-20_i16).to_le_bytes());
        factors[MUL_AT + 6..MUL_AT + 8].copy_from_slice(&2_i16.to_le_bytes());
        factors[ERROR_AT + 3] = 9;
        let mut table = [0; 8];
        table[6] = -7;
        let mut out = [0.0; BLOCK_VECTORS];
        let terms = ScanTerms { base: 1000.0, offset: 10.0, scale: 0.5 };
        ScanKernel::with_variant(Variant::Scalar).scan(
            &[run(4, 1, 0)],
            &table,
            (&rows, &factors),
            terms,
            &mut out,
        );
        assert_eq!(out[3], 1000.0 - 20.0 + (-35.0 - 10.0) * 0.5 * 2.0);
        assert_eq!(out[0], 1000.0);
        assert_eq!((error_of(&factors, 3), mul_of(&factors, 3)), (9.0, 2.0));
    }
}
