//! Scan of codes: thirty-two byte products an instruction, summed in pairs.
#![allow(unsafe_code)]

use std::arch::x86_64::*;

use crate::kernels::blocks::{
    ADD_AT, BLOCK_VECTORS, FACTOR_BYTES, MUL_AT, ROW_BYTES, ScanJob, ScanTerms, wide,
};

/// See [`ScanFn`](crate::kernels::blocks::ScanFn).
#[target_feature(enable = "avx2,fma,f16c")]
pub(in crate::kernels) unsafe fn scan(job: &ScanJob<'_>, out: &mut [[f32; BLOCK_VECTORS]]) {
    let mut rows = job.rows.as_ptr();
    for (factors, out) in job.factors.iter().zip(out) {
        let mut sums = [_mm256_setzero_si256(); 2];
        let mut table = job.table.as_ptr();
        for run in job.runs {
            let count = _mm_cvtsi32_si128(i32::from(run.raise));
            sums = sums.map(|sum| _mm256_sll_epi32(sum, count));
            // SAFETY: `rows` holds the rows of every run of every block, `table` the values of every run; both move
            // on by what was used.
            unsafe {
                match run.bits {
                    1 => plane::<1>(run.rows, &mut table, &mut rows, &mut sums),
                    2 => plane::<2>(run.rows, &mut table, &mut rows, &mut sums),
                    _ => plane::<4>(run.rows, &mut table, &mut rows, &mut sums),
                }
            }
        }
        finish(job.terms, factors, sums, out);
    }
}

/// # Safety
/// `rows` rows can be read at `block`, and `rows * 32 / BITS` values at `table`.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn plane<const BITS: i32>(
    rows: usize,
    table: &mut *const i8,
    block: &mut *const u8,
    sums: &mut [__m256i; 2],
) {
    let mask = _mm256_set1_epi8((1 << BITS) - 1);
    let ones = _mm256_set1_epi16(1);
    for _ in 0..rows {
        // SAFETY: by the contract, two halves of a row.
        let mut bytes = unsafe {
            [_mm256_loadu_si256(block.cast()), _mm256_loadu_si256(block.add(ROW_BYTES / 2).cast())]
        };
        // A pair of products is at most 2 x 15 x 127, and the steps of a row add two of them for 4 bits, four of
        // 2 x 3 x 127 or eight of 2 x 127: far from the end of 16 bits.
        let mut pairs = [_mm256_setzero_si256(); 2];
        for _ in 0..8 / BITS {
            // SAFETY: by the contract.
            let query = _mm256_set1_epi32(unsafe { table.cast::<i32>().read_unaligned() });
            for i in 0..2 {
                let codes = _mm256_and_si256(bytes[i], mask);
                pairs[i] = _mm256_add_epi16(pairs[i], _mm256_maddubs_epi16(codes, query));
                bytes[i] = _mm256_srli_epi32::<BITS>(bytes[i]);
            }
            // SAFETY: by the contract.
            *table = unsafe { table.add(4) };
        }
        for i in 0..2 {
            sums[i] = _mm256_add_epi32(sums[i], _mm256_madd_epi16(pairs[i], ones));
        }
        // SAFETY: by the contract.
        *block = unsafe { block.add(ROW_BYTES) };
    }
}

/// Estimates from dot products.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn finish(
    terms: ScanTerms,
    factors: &[u8; FACTOR_BYTES],
    dots: [__m256i; 2],
    out: &mut [f32; BLOCK_VECTORS],
) {
    for (half, dots) in dots.into_iter().enumerate() {
        // SAFETY: both ranges of 16 bytes lie inside the factors.
        let halves = |at: usize| unsafe {
            let halves = _mm_loadu_si128(factors.as_ptr().add(at + 16 * half).cast());
            _mm256_cvtepi32_ps(_mm256_cvtepi16_epi32(halves))
        };
        let add = _mm256_mul_ps(halves(ADD_AT), _mm256_set1_ps(wide(factors[0], factors[1])));
        let mul = _mm256_mul_ps(halves(MUL_AT), _mm256_set1_ps(wide(factors[2], factors[3])));
        let mul = _mm256_mul_ps(mul, _mm256_set1_ps(terms.scale));
        let dots = _mm256_sub_ps(_mm256_cvtepi32_ps(dots), _mm256_set1_ps(terms.offset));
        let known = _mm256_add_ps(_mm256_set1_ps(terms.base), add);
        let estimates = _mm256_add_ps(_mm256_mul_ps(dots, mul), known);
        // SAFETY: `out` has sixteen places, eight for each half.
        unsafe { _mm256_storeu_ps(out.as_mut_ptr().add(8 * half), estimates) };
    }
}
