//! Scan of product codes: thirty-two lookups an instruction in tables of sixteen.
#![allow(unsafe_code)]

use std::arch::x86_64::*;
use std::ops::Range;

use super::scan::finish;
use crate::kernels::blocks::BLOCK_VECTORS;
use crate::kernels::lookup::{GROUP_ROWS, LOOKUP_ROW_BYTES, LookupJob, SMALL, SUMMED_MAX};

/// Rows of one step.
const ROWS: usize = 2;

/// Tables of 4 bits; see [`LookupFn`](crate::kernels::lookup::LookupFn).
#[target_feature(enable = "avx2,fma,f16c")]
pub(in crate::kernels) unsafe fn look_up_small(job: &LookupJob<'_>, out: &mut [[f32; BLOCK_VECTORS]]) {
    let mut codes = job.codes.as_ptr();
    for (factors, out) in job.factors.iter().zip(out) {
        let mut dots = [_mm256_setzero_si256(); 2];
        let mut row = 0;
        while row < job.rows {
            // Each step adds two values to a sum of sixteen bits.
            let end = job.rows.min(row + SUMMED_MAX / 2 * ROWS);
            // SAFETY: `codes` holds the rows of every block and moves on by what was used, `tables` those of all rows.
            let part = unsafe { sums(job.tables.as_ptr(), row..end, &mut codes) };
            dots = [_mm256_add_epi32(dots[0], part[0]), _mm256_add_epi32(dots[1], part[1])];
            row = end;
        }
        finish(job.terms, factors, dots, out);
    }
}

/// Sums over `rows`, of sixteen vectors in order.
///
/// # Safety
/// `rows` can be read at `codes`, and the groups of tables of rows up to their end at `tables`. At most
/// `SUMMED_MAX / 2` steps; their start is even.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn sums(tables: *const u8, rows: Range<usize>, codes: &mut *const u8) -> [__m256i; 2] {
    let mask = _mm256_set1_epi8(15);
    // Of bytes at even places with those above them, and of those at odd places alone.
    let (mut all, mut odd) = (_mm256_setzero_si256(), _mm256_setzero_si256());
    let end = rows.end;
    for row in rows.step_by(ROWS) {
        // SAFETY: by the contract. Rows of a group lie together, and a group has all its tables.
        let (bytes, low, high) = unsafe {
            let table = tables.add((row / GROUP_ROWS * 2 * GROUP_ROWS + row % GROUP_ROWS) * SMALL);
            let bytes = match end - row {
                1 => _mm256_zextsi128_si256(_mm_loadu_si128(codes.cast())),
                _ => _mm256_loadu_si256(codes.cast()),
            };
            *codes = codes.add(ROWS.min(end - row) * LOOKUP_ROW_BYTES);
            let high = table.add(GROUP_ROWS * SMALL);
            (bytes, _mm256_loadu_si256(table.cast()), _mm256_loadu_si256(high.cast()))
        };
        let low = _mm256_shuffle_epi8(low, _mm256_and_si256(bytes, mask));
        let high = _mm256_shuffle_epi8(high, _mm256_and_si256(_mm256_srli_epi16::<4>(bytes), mask));
        all = _mm256_add_epi16(all, _mm256_add_epi16(low, high));
        odd = _mm256_add_epi16(
            odd,
            _mm256_add_epi16(_mm256_srli_epi16::<8>(low), _mm256_srli_epi16::<8>(high)),
        );
    }
    // What overflowed above is what the odd bytes had added.
    let even = _mm256_sub_epi16(all, _mm256_slli_epi16::<8>(odd));
    let wide = |sums: __m256i| {
        let low = _mm256_cvtepu16_epi32(_mm256_castsi256_si128(sums));
        _mm256_add_epi32(low, _mm256_cvtepu16_epi32(_mm256_extracti128_si256::<1>(sums)))
    };
    let (even, odd) = (wide(even), wide(odd));
    let (low, high) = (_mm256_unpacklo_epi32(even, odd), _mm256_unpackhi_epi32(even, odd));
    [_mm256_permute2x128_si256::<0x20>(low, high), _mm256_permute2x128_si256::<0x31>(low, high)]
}
