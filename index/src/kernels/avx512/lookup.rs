//! Scan of product codes: sixty-four lookups an instruction, in tables of sixteen by a shuffle, in tables of 256 by
//! two permutations of two registers each.
#![allow(unsafe_code)]

use std::arch::x86_64::*;
use std::ops::Range;

use super::scan::finish;
use crate::kernels::blocks::BLOCK_VECTORS;
use crate::kernels::lookup::{GROUP_ROWS, LARGE, LOOKUP_ROW_BYTES, LookupJob, SMALL, SUMMED_MAX};

/// Blocks that are looked up together in tables of 8 bits.
const BLOCKS: usize = 4;

/// Tables of 4 bits; see [`LookupFn`](crate::kernels::lookup::LookupFn).
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
pub(in crate::kernels) unsafe fn look_up_small(job: &LookupJob<'_>, out: &mut [[f32; BLOCK_VECTORS]]) {
    let mut codes = job.codes.as_ptr();
    for (factors, out) in job.factors.iter().zip(out) {
        let mut dots = _mm512_setzero_si512();
        let mut row = 0;
        while row < job.rows {
            // Each group adds two values to a sum of sixteen bits.
            let end = job.rows.min(row + SUMMED_MAX / 2 * GROUP_ROWS);
            // SAFETY: `codes` holds the rows of every block and moves on by what was used, `tables` those of all rows.
            let part = unsafe { sums(job.tables.as_ptr().add(row * 2 * SMALL), end - row, &mut codes) };
            dots = _mm512_add_epi32(dots, part);
            row = end;
        }
        finish(job.terms, factors, dots, out);
    }
}

/// Sums of sixteen vectors in order over `rows` rows.
///
/// # Safety
/// `rows` rows can be read at `codes`, and the tables of their groups at `tables`. At most `SUMMED_MAX / 2` groups.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
unsafe fn sums(tables: *const u8, rows: usize, codes: &mut *const u8) -> __m512i {
    // Of bytes at even places with those above them, and of those at odd places alone.
    let mut sums = [_mm512_setzero_si512(); 2];
    let groups = rows / GROUP_ROWS;
    for group in 0..groups {
        // SAFETY: by the contract.
        unsafe {
            let bytes = _mm512_loadu_si512(codes.cast());
            add_group(tables.add(group * 2 * GROUP_ROWS * SMALL), bytes, &mut sums);
            *codes = codes.add(GROUP_ROWS * LOOKUP_ROW_BYTES);
        }
    }
    let left = rows % GROUP_ROWS * LOOKUP_ROW_BYTES;
    if left > 0 {
        // SAFETY: by the contract; the mask keeps to the rows that there are.
        unsafe {
            let bytes = _mm512_maskz_loadu_epi8((1 << left) - 1, codes.cast());
            add_group(tables.add(groups * 2 * GROUP_ROWS * SMALL), bytes, &mut sums);
            *codes = codes.add(left);
        }
    }
    let [all, odd] = sums;
    // What overflowed above is what the odd bytes had added.
    let even = _mm512_sub_epi16(all, _mm512_slli_epi16::<8>(odd));
    let wide = |sums: __m512i| {
        let low = _mm512_cvtepu16_epi32(_mm512_castsi512_si256(sums));
        let sums = _mm512_add_epi32(low, _mm512_cvtepu16_epi32(_mm512_extracti64x4_epi64::<1>(sums)));
        _mm256_add_epi32(_mm512_castsi512_si256(sums), _mm512_extracti64x4_epi64::<1>(sums))
    };
    interleave(wide(even), wide(odd))
}

/// # Safety
/// A group's tables can be read at `tables`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
unsafe fn add_group(tables: *const u8, bytes: __m512i, [all, odd]: &mut [__m512i; 2]) {
    let mask = _mm512_set1_epi8(15);
    // SAFETY: by the contract.
    let (low, high) = unsafe {
        (_mm512_loadu_si512(tables.cast()), _mm512_loadu_si512(tables.add(GROUP_ROWS * SMALL).cast()))
    };
    let low = _mm512_shuffle_epi8(low, _mm512_and_si512(bytes, mask));
    let high = _mm512_shuffle_epi8(high, _mm512_and_si512(_mm512_srli_epi16::<4>(bytes), mask));
    *all = _mm512_add_epi16(*all, _mm512_add_epi16(low, high));
    *odd =
        _mm512_add_epi16(*odd, _mm512_add_epi16(_mm512_srli_epi16::<8>(low), _mm512_srli_epi16::<8>(high)));
}

/// Tables of 8 bits; see [`LookupFn`](crate::kernels::lookup::LookupFn).
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx512vbmi")]
pub(in crate::kernels) unsafe fn look_up_large(job: &LookupJob<'_>, out: &mut [[f32; BLOCK_VECTORS]]) {
    let block_bytes = job.rows * LOOKUP_ROW_BYTES;
    let blocks = job.codes.chunks(BLOCKS * block_bytes);
    for ((factors, out), codes) in job.factors.chunks(BLOCKS).zip(out.chunks_mut(BLOCKS)).zip(blocks) {
        let mut dots = [_mm512_setzero_si512(); BLOCKS];
        // Where there are fewer blocks, the last is looked up several times.
        let starts: [*const u8; BLOCKS] =
            std::array::from_fn(|block| codes[block.min(factors.len() - 1) * block_bytes..].as_ptr());
        let mut row = 0;
        while row < job.rows {
            let end = job.rows.min(row + SUMMED_MAX);
            // SAFETY: each start has `rows` rows, `tables` one for each of them.
            unsafe { add_blocks(job.tables.as_ptr(), row..end, starts, &mut dots) };
            row = end;
        }
        for ((factors, out), dots) in factors.iter().zip(out).zip(dots) {
            finish(job.terms, factors, dots, out);
        }
    }
}

/// Adds the table values of `rows` of each block.
///
/// # Safety
/// Rows up to the end of `rows` can be read at each of `codes`, and their tables at `tables`. At most `SUMMED_MAX` rows.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx512vbmi")]
unsafe fn add_blocks(
    tables: *const u8,
    rows: Range<usize>,
    codes: [*const u8; BLOCKS],
    dots: &mut [__m512i; BLOCKS],
) {
    let (mut all, mut odd) = (_mm512_setzero_si512(), _mm512_setzero_si512());
    for row in rows {
        // SAFETY: by the contract.
        let (table, [a, b, c, d]) = unsafe {
            let part = |part: usize| _mm512_loadu_si512(tables.add(row * LARGE + 64 * part).cast());
            let codes = codes.map(|codes| _mm_loadu_si128(codes.add(row * LOOKUP_ROW_BYTES).cast()));
            ([part(0), part(1), part(2), part(3)], codes)
        };
        let low = _mm512_inserti32x4::<1>(_mm512_castsi128_si512(a), b);
        let codes = _mm512_inserti32x4::<3>(_mm512_inserti32x4::<2>(low, c), d);
        let low = _mm512_permutex2var_epi8(table[0], codes, table[1]);
        let high = _mm512_permutex2var_epi8(table[2], codes, table[3]);
        let values = _mm512_mask_blend_epi8(_mm512_movepi8_mask(codes), low, high);
        all = _mm512_add_epi16(all, values);
        odd = _mm512_add_epi16(odd, _mm512_srli_epi16::<8>(values));
    }
    // What overflowed above is what the odd bytes had added.
    let even = _mm512_sub_epi16(all, _mm512_slli_epi16::<8>(odd));
    let wide = |eight: __m128i| _mm256_cvtepu16_epi32(eight);
    let parts = [
        (_mm512_extracti32x4_epi32::<0>(even), _mm512_extracti32x4_epi32::<0>(odd)),
        (_mm512_extracti32x4_epi32::<1>(even), _mm512_extracti32x4_epi32::<1>(odd)),
        (_mm512_extracti32x4_epi32::<2>(even), _mm512_extracti32x4_epi32::<2>(odd)),
        (_mm512_extracti32x4_epi32::<3>(even), _mm512_extracti32x4_epi32::<3>(odd)),
    ];
    for (dots, (even, odd)) in dots.iter_mut().zip(parts) {
        *dots = _mm512_add_epi32(*dots, interleave(wide(even), wide(odd)));
    }
}

/// Sixteen sums in order from those of even and of odd vectors.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
fn interleave(even: __m256i, odd: __m256i) -> __m512i {
    let (low, high) = (_mm256_unpacklo_epi32(even, odd), _mm256_unpackhi_epi32(even, odd));
    let first = _mm256_permute2x128_si256::<0x20>(low, high);
    let second = _mm256_permute2x128_si256::<0x31>(low, high);
    _mm512_inserti64x4::<1>(_mm512_castsi256_si512(first), second)
}
