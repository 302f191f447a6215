//! Kernels for aarch64, on the 128-bit vectors that every such machine has.
#![allow(unsafe_code)]

mod lanes;
mod lookup;
mod matrix;
mod scan;
mod tiles;

use std::arch::aarch64::{vcleq_f32, vdupq_n_f32, vld1q_f32, vmaxvq_u32, vorrq_u32};

pub(super) use lookup::look_up_small;
pub(super) use matrix::products;
pub(super) use scan::scan;

use super::lane::{self, Lane, PairFns, pair_fns};
use super::tile::{self, BlockFns, Layout, Product, Tile, block_fns, widen};
use super::{Operation, push};
use crate::DType;

/// Rows and registers of columns in one tile: twenty-four sums, four loads and a broadcast of thirty-two
/// registers.
const ROWS: usize = 6;
const COLUMNS: usize = 4;

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

#[target_feature(enable = "neon")]
unsafe fn rows<L: Lane, const SQUARED: bool>(query: &[u8], rows: &[u8], out: &mut [f32]) {
    // SAFETY: the same contract.
    unsafe { lane::rows::<L, SQUARED>(query, rows, out) }
}

#[target_feature(enable = "neon")]
unsafe fn picks<L: Lane, const SQUARED: bool>(query: &[u8], rows: &[u8], picks: &[u32], out: &mut [f32]) {
    // SAFETY: the same contract.
    unsafe { lane::picks::<L, SQUARED>(query, rows, picks, out) }
}

#[target_feature(enable = "neon")]
unsafe fn product<T: Tile, const SQUARED: bool>(job: &Product<'_>, out: &mut [f32]) {
    // SAFETY: the same contract.
    unsafe { tile::product::<T, SQUARED, ROWS, COLUMNS>(job, out) }
}

#[target_feature(enable = "neon")]
unsafe fn square_norms(rows: &[f32], dim: usize, out: &mut [f32]) {
    tile::square_norms(rows, dim, out, f32::mul_add);
}

/// Appends the positions of scores that are at most `limit`.
///
/// # Safety
/// The machine has NEON.
#[target_feature(enable = "neon")]
pub(super) unsafe fn below(scores: &[f32], limit: f32, out: &mut Vec<u32>) {
    let wide_limit = vdupq_n_f32(limit);
    let (blocks, rest) = scores.as_chunks::<16>();
    for (i, block) in blocks.iter().enumerate() {
        // SAFETY: four floats of a block of sixteen, from 4 * part on.
        let four = |part: usize| unsafe { vld1q_f32(block.as_ptr().add(4 * part)) };
        let chosen = |part: usize| vcleq_f32(four(part), wide_limit);
        let any = vorrq_u32(vorrq_u32(chosen(0), chosen(1)), vorrq_u32(chosen(2), chosen(3)));
        if vmaxvq_u32(any) != 0 {
            push::push_rest(block, i * 16, limit, out);
        }
    }
    push::push_rest(rest, blocks.len() * 16, limit, out);
}
