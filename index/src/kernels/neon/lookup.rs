//! Scan of product codes: sixteen lookups an instruction in tables of sixteen.
#![allow(unsafe_code)]

use std::arch::aarch64::*;

use super::scan::{QUARTERS, finish};
use crate::kernels::blocks::BLOCK_VECTORS;
use crate::kernels::lookup::{GROUP_ROWS, LOOKUP_ROW_BYTES, LookupJob, SMALL, SUMMED_MAX};

/// Tables of 4 bits; see [`LookupFn`](crate::kernels::lookup::LookupFn).
#[target_feature(enable = "neon")]
pub(in crate::kernels) unsafe fn look_up_small(job: &LookupJob<'_>, out: &mut [[f32; BLOCK_VECTORS]]) {
    let mut codes = job.codes.as_ptr();
    let mask = vdupq_n_u8(15);
    for (factors, out) in job.factors.iter().zip(out) {
        let mut dots = [vdupq_n_s32(0); QUARTERS];
        let mut row = 0;
        while row < job.rows {
            // Each row adds two values to a sum of sixteen bits.
            let end = job.rows.min(row + SUMMED_MAX / 2);
            let mut sums = [vdupq_n_u16(0); 2];
            for row in row..end {
                let at = (row / GROUP_ROWS * 2 * GROUP_ROWS + row % GROUP_ROWS) * SMALL;
                // SAFETY: `codes` holds the rows of every block and moves on by what was used, `tables` those of all
                // rows.
                let (bytes, low, high) = unsafe {
                    let table = job.tables.as_ptr().add(at);
                    let bytes = vld1q_u8(codes);
                    codes = codes.add(LOOKUP_ROW_BYTES);
                    (bytes, vld1q_u8(table), vld1q_u8(table.add(GROUP_ROWS * SMALL)))
                };
                let low = vqtbl1q_u8(low, vandq_u8(bytes, mask));
                let high = vqtbl1q_u8(high, vshrq_n_u8::<4>(bytes));
                sums[0] = vaddw_u8(vaddw_u8(sums[0], vget_low_u8(low)), vget_low_u8(high));
                sums[1] = vaddw_high_u8(vaddw_high_u8(sums[1], low), high);
            }
            for (half, sums) in sums.into_iter().enumerate() {
                let wide = [vmovl_u16(vget_low_u16(sums)), vmovl_high_u16(sums)];
                for (dots, wide) in dots[2 * half..].iter_mut().zip(wide) {
                    *dots = vaddq_s32(*dots, vreinterpretq_s32_u32(wide));
                }
            }
            row = end;
        }
        finish(job.terms, factors, dots, out);
    }
}
