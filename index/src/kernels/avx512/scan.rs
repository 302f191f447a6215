//! Scan of codes: sixty-four byte products an instruction.
#![allow(unsafe_code)]

use std::arch::x86_64::*;

use crate::kernels::scan::{
    ADD_AT, BLOCK_VECTORS, FACTOR_BYTES, MUL_AT, ROW_BYTES, ScanJob, ScanTerms, wide,
};

/// Sums of products in two chains, since one would wait for itself.
type Sums = [__m512i; 2];

/// See [`ScanFn`](crate::kernels::scan::ScanFn).
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
pub(in crate::kernels) unsafe fn scan(job: &ScanJob<'_>, out: &mut [[f32; BLOCK_VECTORS]]) {
    let block_bytes = ROW_BYTES * job.runs.iter().map(|run| run.rows).sum::<usize>();
    let (pairs, last) = job.factors.as_chunks::<2>();
    let (out_pairs, out_last) = out.as_chunks_mut::<2>();
    let mut rows = job.rows.as_ptr();
    // SAFETY: `rows` holds the rows of every block of `factors`, and each step takes those of the blocks it fills.
    unsafe {
        for (factors, out) in pairs.iter().zip(out_pairs) {
            let dots = dots::<2>(job, [rows, rows.add(block_bytes)]);
            for i in 0..2 {
                finish(job.terms, &factors[i], dots[i], &mut out[i]);
            }
            rows = rows.add(2 * block_bytes);
        }
        if let ([factors], [out]) = (last, out_last) {
            let [dot] = dots::<1>(job, [rows]);
            finish(job.terms, factors, dot, out);
        }
    }
}

/// Dot products of the sixteen vectors of each of `N` blocks.
///
/// # Safety
/// As for [`scan`]; `blocks` point to the rows of a block each.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
unsafe fn dots<const N: usize>(job: &ScanJob<'_>, mut blocks: [*const u8; N]) -> [__m512i; N] {
    let mut sums = [[_mm512_setzero_si512(); 2]; N];
    let mut table = job.table.as_ptr();
    for run in job.runs {
        if run.raise > 0 {
            let count = _mm_cvtsi32_si128(i32::from(run.raise));
            for sum in &mut sums {
                *sum = [_mm512_sll_epi32(_mm512_add_epi32(sum[0], sum[1]), count), _mm512_setzero_si512()];
            }
        }
        // SAFETY: passed on from the caller; `table` and `blocks` move on by what was used.
        unsafe {
            match run.bits {
                1 => plane::<1, N>(run.rows, &mut table, &mut blocks, &mut sums),
                2 => plane::<2, N>(run.rows, &mut table, &mut blocks, &mut sums),
                _ => plane::<4, N>(run.rows, &mut table, &mut blocks, &mut sums),
            }
        }
    }
    std::array::from_fn(|i| _mm512_add_epi32(sums[i][0], sums[i][1]))
}

/// # Safety
/// `rows` rows can be read at each block, and `rows * 32 / BITS` values at `table`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
unsafe fn plane<const BITS: u32, const N: usize>(
    rows: usize,
    table: &mut *const i8,
    blocks: &mut [*const u8; N],
    sums: &mut [Sums; N],
) {
    let mask = _mm512_set1_epi8((1 << BITS) - 1);
    for _ in 0..rows {
        // SAFETY: by the contract.
        let mut bytes = blocks.map(|block| unsafe { _mm512_loadu_si512(block.cast()) });
        for step in 0..8 / BITS as usize {
            // SAFETY: by the contract.
            let query = _mm512_set1_epi32(unsafe { table.cast::<i32>().read_unaligned() });
            for i in 0..N {
                let codes = _mm512_and_si512(bytes[i], mask);
                sums[i][step % 2] = _mm512_dpbusd_epi32(sums[i][step % 2], codes, query);
                bytes[i] = _mm512_srli_epi32::<BITS>(bytes[i]);
            }
            // SAFETY: by the contract.
            *table = unsafe { table.add(4) };
        }
        // SAFETY: by the contract.
        *blocks = blocks.map(|block| unsafe { block.add(ROW_BYTES) });
    }
}

/// Estimates from dot products.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
fn finish(terms: ScanTerms, factors: &[u8; FACTOR_BYTES], dots: __m512i, out: &mut [f32; BLOCK_VECTORS]) {
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
