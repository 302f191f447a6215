//! Scan of codes: products of bytes widened to sixteen bits, summed in fours.
#![allow(unsafe_code)]

use std::arch::aarch64::*;

use crate::kernels::blocks::{
    ADD_AT, BLOCK_VECTORS, FACTOR_BYTES, MUL_AT, ROW_BYTES, ScanJob, ScanTerms, wide,
};

/// Registers of four vectors in a row.
pub(super) const QUARTERS: usize = 4;

/// See [`ScanFn`](crate::kernels::blocks::ScanFn).
#[target_feature(enable = "neon")]
pub(in crate::kernels) unsafe fn scan(job: &ScanJob<'_>, out: &mut [[f32; BLOCK_VECTORS]]) {
    let mut rows = job.rows.as_ptr();
    for (factors, out) in job.factors.iter().zip(out) {
        let mut sums = [vdupq_n_s32(0); QUARTERS];
        let mut table = job.table.as_ptr();
        for run in job.runs {
            let raise = vdupq_n_s32(i32::from(run.raise));
            sums = sums.map(|sum| vshlq_s32(sum, raise));
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
#[target_feature(enable = "neon")]
unsafe fn plane<const BITS: i32>(
    rows: usize,
    table: &mut *const i8,
    block: &mut *const u8,
    sums: &mut [int32x4_t; QUARTERS],
) {
    let mask = vdupq_n_u8((1 << BITS) - 1);
    for _ in 0..rows {
        for (quarter, sum) in sums.iter_mut().enumerate() {
            // SAFETY: by the contract, a quarter of a row.
            let mut bytes = unsafe { vld1q_u8(block.add(16 * quarter)) };
            for step in 0..8 / BITS as usize {
                // SAFETY: by the contract.
                let query = unsafe { table.add(4 * step).cast::<i32>().read_unaligned() };
                let query = vreinterpretq_s8_s32(vdupq_n_s32(query));
                let codes = vreinterpretq_s8_u8(vandq_u8(bytes, mask));
                let low = vmull_s8(vget_low_s8(codes), vget_low_s8(query));
                let high = vmull_high_s8(codes, query);
                *sum = vaddq_s32(*sum, vpaddq_s32(vpaddlq_s16(low), vpaddlq_s16(high)));
                bytes = vshrq_n_u8::<BITS>(bytes);
            }
        }
        // SAFETY: by the contract.
        unsafe {
            *table = table.add(32 / BITS as usize);
            *block = block.add(ROW_BYTES);
        }
    }
}

/// Estimates from dot products.
#[inline]
#[target_feature(enable = "neon")]
pub(super) fn finish(
    terms: ScanTerms,
    factors: &[u8; FACTOR_BYTES],
    dots: [int32x4_t; QUARTERS],
    out: &mut [f32; BLOCK_VECTORS],
) {
    for (quarter, dots) in dots.into_iter().enumerate() {
        // SAFETY: both ranges of 8 bytes lie inside the factors.
        let halves = |at: usize| unsafe {
            let bytes = vld1_u8(factors.as_ptr().add(at + 8 * quarter));
            vcvtq_f32_s32(vmovl_s16(vreinterpret_s16_u8(bytes)))
        };
        let add = vmulq_n_f32(halves(ADD_AT), wide(factors[0], factors[1]));
        let mul = vmulq_n_f32(halves(MUL_AT), wide(factors[2], factors[3]));
        let mul = vmulq_n_f32(mul, terms.scale);
        let dots = vsubq_f32(vcvtq_f32_s32(dots), vdupq_n_f32(terms.offset));
        let known = vaddq_f32(vdupq_n_f32(terms.base), add);
        let estimates = vaddq_f32(vmulq_f32(dots, mul), known);
        // SAFETY: `out` has sixteen places, four for each quarter.
        unsafe { vst1q_f32(out.as_mut_ptr().add(4 * quarter), estimates) };
    }
}
