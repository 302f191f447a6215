//! Kernels for x86-64 with AVX-512 F, BW, VL, DQ and VNNI.
#![allow(unsafe_code)]

mod amx;
mod lanes;
mod lookup;
mod matrix;
mod scan;
mod tiles;

use std::arch::x86_64::{
    __mmask16, _CMP_LE_OQ, _mm256_loadu_si256, _mm512_cmp_ps_mask, _mm512_cvtph_ps, _mm512_loadu_ps,
    _mm512_mask_cmp_ps_mask, _mm512_maskz_loadu_ps, _mm512_set1_ps, _mm512_storeu_ps,
};

pub(super) use lookup::{look_up_large, look_up_small};
pub(super) use matrix::products;
pub(super) use scan::scan;

use self::tiles::{COLUMNS, ROWS};
use super::lane::{self, Lane, PairFns, pair_fns};
use super::tile::{self, BlockFns, Layout, Product, Tile, block_fns};
use super::{Operation, push};
use crate::DType;

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
        let fns = block_fns!(tiles::Integer, Layout::Bytes);
        if amx::is_available() {
            return BlockFns { squared: amx::product::<true>, inner: amx::product::<false>, ..fns };
        }
        fns
    } else {
        block_fns!(tiles::Float, Layout::Singles)
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
unsafe fn rows<L: Lane, const SQUARED: bool>(query: &[u8], rows: &[u8], out: &mut [f32]) {
    // SAFETY: the same contract.
    unsafe { lane::rows::<L, SQUARED>(query, rows, out) }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
unsafe fn picks<L: Lane, const SQUARED: bool>(query: &[u8], rows: &[u8], picks: &[u32], out: &mut [f32]) {
    // SAFETY: the same contract.
    unsafe { lane::picks::<L, SQUARED>(query, rows, picks, out) }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
unsafe fn product<T: Tile, const SQUARED: bool>(job: &Product<'_>, out: &mut [f32]) {
    // SAFETY: the same contract.
    unsafe { tile::product::<T, SQUARED, ROWS, COLUMNS>(job, out) }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
unsafe fn square_norms(rows: &[f32], dim: usize, out: &mut [f32]) {
    tile::square_norms(rows, dim, out, f32::mul_add);
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
unsafe fn widen(halves: &[u8], out: &mut [f32]) {
    let (whole, rest) = halves.as_chunks::<32>();
    let (floats, rest_floats) = out.split_at_mut(16 * whole.len());
    for (sixteen, floats) in whole.iter().zip(floats.as_chunks_mut::<16>().0) {
        // SAFETY: sixteen halves, and places for sixteen floats.
        unsafe {
            _mm512_storeu_ps(
                floats.as_mut_ptr(),
                _mm512_cvtph_ps(_mm256_loadu_si256(sixteen.as_ptr().cast())),
            )
        };
    }
    tile::widen(rest, rest_floats);
}

/// Appends the positions of scores that are at most `limit`.
///
/// # Safety
/// The machine has AVX-512 F.
#[target_feature(enable = "avx512f")]
pub(super) unsafe fn below(scores: &[f32], limit: f32, out: &mut Vec<u32>) {
    let wide_limit = _mm512_set1_ps(limit);
    let (blocks, rest) = scores.as_chunks::<32>();
    for (i, block) in blocks.iter().enumerate() {
        // SAFETY: the two halves of a block of thirty-two floats.
        let (low, high) =
            unsafe { (_mm512_loadu_ps(block.as_ptr()), _mm512_loadu_ps(block.as_ptr().add(16))) };
        let low = u32::from(_mm512_cmp_ps_mask::<_CMP_LE_OQ>(low, wide_limit));
        let high = u32::from(_mm512_cmp_ps_mask::<_CMP_LE_OQ>(high, wide_limit));
        push::push_bits(low | high << 16, i * 32, out);
    }
    let (mut first, mut rest) = (blocks.len() * 32, rest);
    while !rest.is_empty() {
        let (part, after) = rest.split_at(rest.len().min(16));
        let lanes: __mmask16 = u16::MAX >> (16 - part.len());
        // SAFETY: only the lanes of the part are read.
        let scores = unsafe { _mm512_maskz_loadu_ps(lanes, part.as_ptr()) };
        let chosen = _mm512_mask_cmp_ps_mask::<_CMP_LE_OQ>(lanes, scores, wide_limit);
        push::push_bits(u32::from(chosen), first, out);
        (first, rest) = (first + part.len(), after);
    }
}
