//! Scan of codes: sixty-four byte products an instruction.
#![allow(unsafe_code)]

use std::arch::x86_64::*;

use crate::kernels::blocks::{
    ADD_AT, BLOCK_VECTORS, FACTOR_BYTES, MUL_AT, ROW_BYTES, ScanJob, ScanTerms, wide,
};

/// Sums of products in four chains, since one would wait for itself.
type Sums = [__m512i; 4];

/// See [`ScanFn`](crate::kernels::blocks::ScanFn).
///
/// One block after the other: two at a time would share the query's values, but codes in memory then come at a third
/// of the speed of a plain walk.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
pub(in crate::kernels) unsafe fn scan(job: &ScanJob<'_>, out: &mut [[f32; BLOCK_VECTORS]]) {
    let mut rows = job.rows.as_ptr();
    for (factors, out) in job.factors.iter().zip(out) {
        let mut sums = [_mm512_setzero_si512(); 4];
        let mut table = job.table.as_ptr();
        for run in job.runs {
            if run.raise > 0 {
                let count = _mm_cvtsi32_si128(i32::from(run.raise));
                sums = sums.map(|sum| _mm512_sll_epi32(sum, count));
            }
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
        let [a, b, c, d] = sums;
        let dots = _mm512_add_epi32(_mm512_add_epi32(a, b), _mm512_add_epi32(c, d));
        finish(job.terms, factors, dots, out);
    }
}

/// # Safety
/// `rows` rows can be read at `block`, and `rows * 32 / BITS` values at `table`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
unsafe fn plane<const BITS: u32>(rows: usize, table: &mut *const i8, block: &mut *const u8, sums: &mut Sums) {
    // SAFETY: by the contract.
    unsafe {
        for _ in 0..rows / 2 {
            products::<BITS, 2>(table, block, sums);
        }
        if rows % 2 == 1 {
            products::<BITS, 1>(table, block, sums);
        }
    }
}

/// # Safety
/// As for [`plane`], with `ROWS` rows.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
unsafe fn products<const BITS: u32, const ROWS: usize>(
    table: &mut *const i8,
    block: &mut *const u8,
    sums: &mut Sums,
) {
    let mask = _mm512_set1_epi8((1 << BITS) - 1);
    let steps = 8 / BITS as usize;
    for row in 0..ROWS {
        // SAFETY: by the contract.
        let mut bytes = unsafe { _mm512_loadu_si512(block.cast()) };
        for step in 0..steps {
            // SAFETY: by the contract.
            let query = _mm512_set1_epi32(unsafe { table.cast::<i32>().read_unaligned() });
            let sum = &mut sums[(row * steps + step) % 4];
            *sum = _mm512_dpbusd_epi32(*sum, _mm512_and_si512(bytes, mask), query);
            bytes = _mm512_srli_epi32::<BITS>(bytes);
            // SAFETY: by the contract.
            *table = unsafe { table.add(4) };
        }
        // SAFETY: by the contract.
        *block = unsafe { block.add(ROW_BYTES) };
    }
}

/// Estimates from dot products.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
pub(super) fn finish(
    terms: ScanTerms,
    factors: &[u8; FACTOR_BYTES],
    dots: __m512i,
    out: &mut [f32; BLOCK_VECTORS],
) {
    // SAFETY: both ranges of 32 bytes lie inside the factors.
    let halves = |at: usize| unsafe {
        let halves = _mm256_loadu_si256(factors.as_ptr().add(at).cast());
        _mm512_cvtepi32_ps(_mm512_cvtepi16_epi32(halves))
    };
    let add = _mm512_mul_ps(halves(ADD_AT), _mm512_set1_ps(wide(factors[0], factors[1])));
    let mul = _mm512_mul_ps(halves(MUL_AT), _mm512_set1_ps(wide(factors[2], factors[3])));
    let mul = _mm512_mul_ps(mul, _mm512_set1_ps(terms.scale));
    let dots = _mm512_sub_ps(_mm512_cvtepi32_ps(dots), _mm512_set1_ps(terms.offset));
    let known = _mm512_add_ps(_mm512_set1_ps(terms.base), add);
    let estimates = _mm512_add_ps(_mm512_mul_ps(dots, mul), known);
    // SAFETY: `out` has sixteen places.
    unsafe { _mm512_storeu_ps(out.as_mut_ptr(), estimates) };
}
