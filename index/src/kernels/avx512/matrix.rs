//! Products with a matrix: thirty-two an instruction.
#![allow(unsafe_code)]

use std::arch::x86_64::*;

use crate::kernels::products::{GROUP_ROWS, ProductsJob};

/// Groups multiplied side by side, since one sum would wait for itself.
const GROUPS: usize = 4;

/// See [`ProductsFn`](crate::kernels::products::ProductsFn).
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
pub(in crate::kernels) unsafe fn products<const ROWS: usize>(
    job: &ProductsJob<'_>,
    out: &mut [[i32; GROUP_ROWS]],
) {
    let groups = out.len() / ROWS;
    let mut group = 0;
    while group < groups {
        // SAFETY: by the contract; the branch checks that `GROUPS` groups are left, and one is left in the loop.
        group += unsafe {
            if group + GROUPS <= groups {
                multiply::<ROWS, GROUPS>(job, group, groups, out)
            } else {
                multiply::<ROWS, 1>(job, group, groups, out)
            }
        };
    }
}

/// Multiplies `COUNT` groups from number `group` on.
///
/// # Safety
/// The contract of [`products`]; `COUNT` groups are left from `group` on.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
unsafe fn multiply<const ROWS: usize, const COUNT: usize>(
    job: &ProductsJob<'_>,
    group: usize,
    groups: usize,
    out: &mut [[i32; GROUP_ROWS]],
) -> usize {
    let mut sums = [[_mm512_setzero_si512(); COUNT]; ROWS];
    for pair in 0..job.pairs {
        // SAFETY: a group holds `pairs` lines of one register. A row holds `pairs` i16 pairs.
        let lines: [__m512i; COUNT] = std::array::from_fn(|at| unsafe {
            _mm512_load_si512(job.lines.as_ptr().add((group + at) * job.pairs + pair).cast())
        });
        for (row, sums) in sums.iter_mut().enumerate() {
            // SAFETY: as above.
            let both =
                unsafe { job.rows.as_ptr().add(row * job.pairs + pair).cast::<i32>().read_unaligned() };
            let both = _mm512_set1_epi32(both);
            for (sum, line) in sums.iter_mut().zip(lines) {
                *sum = _mm512_dpwssd_epi32(*sum, line, both);
            }
        }
    }
    for (row, sums) in sums.into_iter().enumerate() {
        for (at, sum) in sums.into_iter().enumerate() {
            // SAFETY: a place of `out` has 64 bytes, like the register.
            unsafe { _mm512_storeu_si512(out[row * groups + group + at].as_mut_ptr().cast(), sum) };
        }
    }
    COUNT
}
