//! Products with a matrix: sixteen an instruction.
#![allow(unsafe_code)]

use std::arch::x86_64::*;

use crate::kernels::products::{GROUP_ROWS, ProductsJob};

/// Registers of a line.
const HALVES: usize = 2;

/// See [`ProductsFn`](crate::kernels::products::ProductsFn).
#[target_feature(enable = "avx2")]
pub(in crate::kernels) unsafe fn products<const ROWS: usize>(
    job: &ProductsJob<'_>,
    out: &mut [[i32; GROUP_ROWS]],
) {
    let groups = out.len() / ROWS;
    for group in 0..groups {
        let mut sums = [[_mm256_setzero_si256(); HALVES]; ROWS];
        for pair in 0..job.pairs {
            // SAFETY: a group holds `pairs` lines of 2 registers. A row holds `pairs` i16 pairs.
            let halves: [__m256i; HALVES] = std::array::from_fn(|half| unsafe {
                let line = job.lines.as_ptr().add(group * job.pairs + pair).cast::<__m256i>();
                _mm256_load_si256(line.add(half))
            });
            for (row, sums) in sums.iter_mut().enumerate() {
                // SAFETY: as above.
                let both =
                    unsafe { job.rows.as_ptr().add(row * job.pairs + pair).cast::<i32>().read_unaligned() };
                let both = _mm256_set1_epi32(both);
                for (sum, half) in sums.iter_mut().zip(halves) {
                    *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(half, both));
                }
            }
        }
        for (row, sums) in sums.into_iter().enumerate() {
            let place = out[row * groups + group].as_mut_ptr().cast::<__m256i>();
            for (half, sum) in sums.into_iter().enumerate() {
                // SAFETY: a place is as large as two registers.
                unsafe { _mm256_storeu_si256(place.add(half), sum) };
            }
        }
    }
}
