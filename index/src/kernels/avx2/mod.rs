//! Kernels for x86-64 with AVX2, FMA and F16C.
#![allow(unsafe_code)]

pub(super) mod lanes;
mod lookup;
mod matrix;
mod scan;
mod tiles;

use std::arch::x86_64::{
    _CMP_LE_OQ, _mm_loadu_si128, _mm256_cmp_ps, _mm256_cvtph_ps, _mm256_loadu_ps, _mm256_movemask_ps,
    _mm256_set1_ps, _mm256_storeu_ps,
};

pub(super) use lookup::look_up_small;
pub(super) use matrix::products;
pub(super) use scan::scan;

use super::lane::{self, Lane, PairFns, pair_fns};
use super::tile::{self, BlockFns, Layout, Product, Tile, block_fns};
use super::{Operation, push};
use crate::DType;

/// Rows and registers of columns in one tile: twelve sums, two loads, one broadcast and one product fill the
/// sixteen registers.
const ROWS: usize = 6;
const COLUMNS: usize = 2;

/// The pair kernel for an operation and element type.
pub(super) fn pair(operation: Operation, dtype: DType) -> PairFns {
    match dtype {
        DType::U8 => pair_fns!(lanes::U8, operation),
        DType::I8 => pair_fns!(lanes::I8, operation),
        DType::F16 => pair_fns!(lanes::F16, operation),
        DType::F32 => pair_fns!(lanes::F32, operation),
    }
}

/// The block kernel for an element type.
pub(super) fn block(dtype: DType) -> BlockFns {
    if dtype.is_integer() {
        block_fns!(tiles::Integer, Layout::Pairs)
    } else {
        block_fns!(tiles::Float, Layout::Singles)
    }
}

#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn rows<L: Lane, const SQUARED: bool>(query: &[u8], rows: &[u8], out: &mut [f32]) {
    // SAFETY: the same contract.
    unsafe { lane::rows::<L, SQUARED>(query, rows, out) }
}

#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn picks<L: Lane, const SQUARED: bool>(query: &[u8], rows: &[u8], picks: &[u32], out: &mut [f32]) {
    // SAFETY: the same contract.
    unsafe { lane::picks::<L, SQUARED>(query, rows, picks, out) }
}

#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn product<T: Tile, const SQUARED: bool>(job: &Product<'_>, out: &mut [f32]) {
    // SAFETY: the same contract.
    unsafe { tile::product::<T, SQUARED, ROWS, COLUMNS>(job, out) }
}

#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn square_norms(rows: &[f32], dim: usize, out: &mut [f32]) {
    tile::square_norms(rows, dim, out, f32::mul_add);
}

#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn widen(halves: &[u8], out: &mut [f32]) {
    let (whole, rest) = halves.as_chunks::<16>();
    let (floats, rest_floats) = out.split_at_mut(8 * whole.len());
    for (eight, floats) in whole.iter().zip(floats.as_chunks_mut::<8>().0) {
        // SAFETY: eight halves, and places for eight floats.
        unsafe {
            _mm256_storeu_ps(floats.as_mut_ptr(), _mm256_cvtph_ps(_mm_loadu_si128(eight.as_ptr().cast())))
        };
    }
    tile::widen(rest, rest_floats);
}

/// Appends the positions of scores that are at most `limit`.
///
/// # Safety
/// The machine has AVX2.
#[target_feature(enable = "avx2")]
pub(super) unsafe fn below(scores: &[f32], limit: f32, out: &mut Vec<u32>) {
    let wide_limit = _mm256_set1_ps(limit);
    let (blocks, rest) = scores.as_chunks::<32>();
    for (i, block) in blocks.iter().enumerate() {
        let mut mask = 0u32;
        for part in 0..4 {
            // SAFETY: eight floats of a block of thirty-two, from 8 * part on.
            let eight = unsafe { _mm256_loadu_ps(block.as_ptr().add(8 * part)) };
            let bits = _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_LE_OQ>(eight, wide_limit));
            mask |= bits.cast_unsigned() << (8 * part);
        }
        push::push_bits(mask, i * 32, out);
    }
    push::push_rest(rest, blocks.len() * 32, limit, out);
}
