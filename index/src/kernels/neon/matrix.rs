//! Products with a matrix: four an instruction.
#![allow(unsafe_code)]

use std::arch::aarch64::*;

use super::scan::QUARTERS;
use crate::kernels::products::{GROUP_ROWS, ProductsJob};

/// See [`ProductsFn`](crate::kernels::products::ProductsFn).
#[target_feature(enable = "neon")]
pub(in crate::kernels) unsafe fn products<const ROWS: usize>(
    job: &ProductsJob<'_>,
    out: &mut [[i32; GROUP_ROWS]],
) {
    let groups = out.len() / ROWS;
    for group in 0..groups {
        let mut sums = [[vdupq_n_s32(0); QUARTERS]; ROWS];
        for pair in 0..job.pairs {
            // SAFETY: a group holds `pairs` lines of 4 registers. A row holds `pairs` i16 pairs.
            let quarters: [int16x8_t; QUARTERS] = std::array::from_fn(|quarter| unsafe {
                let line = job.lines.as_ptr().add(group * job.pairs + pair).cast::<i16>();
                vld1q_s16(line.add(8 * quarter))
            });
            for (row, sums) in sums.iter_mut().enumerate() {
                // SAFETY: as above.
                let both =
                    unsafe { job.rows.as_ptr().add(row * job.pairs + pair).cast::<i32>().read_unaligned() };
                let both = vreinterpretq_s16_s32(vdupq_n_s32(both));
                for (sum, quarter) in sums.iter_mut().zip(quarters) {
                    let low = vmull_s16(vget_low_s16(quarter), vget_low_s16(both));
                    *sum = vaddq_s32(*sum, vpaddq_s32(low, vmull_high_s16(quarter, both)));
                }
            }
        }
        for (row, sums) in sums.into_iter().enumerate() {
            let place = out[row * groups + group].as_mut_ptr();
            for (quarter, sum) in sums.into_iter().enumerate() {
                // SAFETY: a place is as large as four registers.
                unsafe { vst1q_s32(place.add(4 * quarter), sum) };
            }
        }
    }
}
