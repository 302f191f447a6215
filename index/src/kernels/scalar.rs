//! The reference kernels, in plain Rust.
#![allow(unsafe_code)]

use half::f16;

use super::Operation;
use super::lane::PairFns;
use super::tile::{self, BlockFns, Layout, Product, Tile, block_fns, widen};
use crate::DType;

/// The pair kernel for an operation and element type.
pub(super) fn pair(operation: Operation, dtype: DType) -> PairFns {
    const U8: u8 = DType::U8.code();
    const I8: u8 = DType::I8.code();
    const F16: u8 = DType::F16.code();
    const F32: u8 = DType::F32.code();
    match (dtype, operation) {
        (DType::U8, Operation::SquaredL2) => fns::<U8, true>(),
        (DType::U8, Operation::InnerProduct) => fns::<U8, false>(),
        (DType::I8, Operation::SquaredL2) => fns::<I8, true>(),
        (DType::I8, Operation::InnerProduct) => fns::<I8, false>(),
        (DType::F16, Operation::SquaredL2) => fns::<F16, true>(),
        (DType::F16, Operation::InnerProduct) => fns::<F16, false>(),
        (DType::F32, Operation::SquaredL2) => fns::<F32, true>(),
        (DType::F32, Operation::InnerProduct) => fns::<F32, false>(),
    }
}

fn fns<const TYPE: u8, const SQUARED: bool>() -> PairFns {
    PairFns { rows: rows::<TYPE, SQUARED>, picks: picks::<TYPE, SQUARED>, least: 0 }
}

fn rows<const TYPE: u8, const SQUARED: bool>(query: &[u8], rows: &[u8], out: &mut [f32]) {
    for (row, out) in rows.chunks_exact(query.len()).zip(out) {
        *out = score_typed::<TYPE, SQUARED>(query, row);
    }
}

fn picks<const TYPE: u8, const SQUARED: bool>(query: &[u8], rows: &[u8], picks: &[u32], out: &mut [f32]) {
    for (&pick, out) in picks.iter().zip(out) {
        let at = pick as usize * query.len();
        *out = score_typed::<TYPE, SQUARED>(query, &rows[at..at + query.len()]);
    }
}

#[inline(always)]
fn score_typed<const TYPE: u8, const SQUARED: bool>(a: &[u8], b: &[u8]) -> f32 {
    let operation = if SQUARED { Operation::SquaredL2 } else { Operation::InnerProduct };
    let dtype = match TYPE {
        1 => DType::F32,
        2 => DType::F16,
        3 => DType::I8,
        _ => DType::U8,
    };
    score(operation, dtype, a, b)
}

/// Scores two rows of the same type and length.
#[inline(always)]
pub(super) fn score(operation: Operation, dtype: DType, a: &[u8], b: &[u8]) -> f32 {
    match dtype {
        DType::U8 => integer(operation, a.iter().map(|&x| i32::from(x)), b.iter().map(|&x| i32::from(x))),
        DType::I8 => {
            let wide = |&x: &u8| i32::from(x.cast_signed());
            integer(operation, a.iter().map(wide), b.iter().map(wide))
        }
        DType::F16 => float(operation, halves(a), halves(b)),
        DType::F32 => float(operation, singles(a), singles(b)),
    }
}

fn halves(row: &[u8]) -> impl Iterator<Item = f32> {
    row.as_chunks::<2>().0.iter().map(|&x| f16::from_le_bytes(x).to_f32())
}

fn singles(row: &[u8]) -> impl Iterator<Item = f32> {
    row.as_chunks::<4>().0.iter().map(|&x| f32::from_le_bytes(x))
}

#[inline(always)]
fn integer(operation: Operation, a: impl Iterator<Item = i32>, b: impl Iterator<Item = i32>) -> f32 {
    let exact: i32 = match operation {
        Operation::SquaredL2 => a.zip(b).map(|(x, y)| (x - y) * (x - y)).sum(),
        Operation::InnerProduct => a.zip(b).map(|(x, y)| x * y).sum(),
    };
    exact as f32 // CAST: rounded once, to nearest
}

#[inline(always)]
fn float(operation: Operation, a: impl Iterator<Item = f32>, b: impl Iterator<Item = f32>) -> f32 {
    match operation {
        Operation::SquaredL2 => a.zip(b).map(|(x, y)| (x - y) * (x - y)).sum(),
        Operation::InnerProduct => a.zip(b).map(|(x, y)| x * y).sum(),
    }
}

const ROWS: usize = 2;
const COLUMNS: usize = 8;

/// The block kernel for an element type.
pub(super) fn block(dtype: DType) -> BlockFns {
    if dtype.is_integer() { block_fns!(Integer, Layout::Pairs) } else { block_fns!(Float, Layout::Singles) }
}

/// As [`block`], on bytes: what the AVX-512 kernel is packed for, so that its packing is tested everywhere.
#[cfg(test)]
pub(super) fn block_of_bytes() -> BlockFns {
    block_fns!(Bytes, Layout::Bytes)
}

fn product<T: Tile, const SQUARED: bool>(job: &Product<'_>, out: &mut [f32]) {
    // SAFETY: plain Rust runs everywhere.
    unsafe { tile::product::<T, SQUARED, ROWS, COLUMNS>(job, out) }
}

fn square_norms(rows: &[f32], dim: usize, out: &mut [f32]) {
    tile::square_norms(rows, dim, out, |a, b, c| a * b + c);
}

/// One pair of i16 at a time.
struct Integer;

impl Tile for Integer {
    type Sum = i32;
    type Units = [i16; 2];
    const LANES: usize = 1;

    #[inline(always)]
    unsafe fn zero() -> i32 {
        0
    }

    #[inline(always)]
    unsafe fn load(at: *const u32) -> [i16; 2] {
        // SAFETY: by the contract.
        unsafe { Self::splat(at.read()) }
    }

    #[inline(always)]
    unsafe fn splat(unit: u32) -> [i16; 2] {
        let [a, b, c, d] = unit.to_le_bytes();
        [i16::from_le_bytes([a, b]), i16::from_le_bytes([c, d])]
    }

    #[inline(always)]
    unsafe fn multiply_add(sum: i32, a: [i16; 2], b: [i16; 2]) -> i32 {
        sum + i32::from(a[0]) * i32::from(b[0]) + i32::from(a[1]) * i32::from(b[1])
    }

    #[inline(always)]
    unsafe fn store<const SQUARED: bool>(sum: i32, left: u32, right: *const u32, out: *mut f32) {
        // SAFETY: by the contract.
        let terms = left.cast_signed() + unsafe { right.read() }.cast_signed();
        let value = if SQUARED { terms - 2 * sum } else { terms + sum };
        // SAFETY: by the contract.
        unsafe { out.write(value as f32) } // CAST: rounded once, to nearest
    }
}

/// Four bytes at a time, unsigned on the left and signed on the right.
#[cfg(test)]
struct Bytes;

#[cfg(test)]
impl Tile for Bytes {
    type Sum = i32;
    type Units = [u8; 4];
    const LANES: usize = 1;

    unsafe fn zero() -> i32 {
        0
    }

    unsafe fn load(at: *const u32) -> [u8; 4] {
        // SAFETY: by the contract.
        unsafe { at.read() }.to_le_bytes()
    }

    unsafe fn splat(unit: u32) -> [u8; 4] {
        unit.to_le_bytes()
    }

    unsafe fn multiply_add(sum: i32, a: [u8; 4], b: [u8; 4]) -> i32 {
        a.iter().zip(b).fold(sum, |sum, (&x, y)| sum + i32::from(x) * i32::from(y.cast_signed()))
    }

    unsafe fn store<const SQUARED: bool>(sum: i32, left: u32, right: *const u32, out: *mut f32) {
        // SAFETY: the same contract.
        unsafe { Integer::store::<SQUARED>(sum, left, right, out) }
    }
}

/// One float at a time.
struct Float;

impl Tile for Float {
    type Sum = f32;
    type Units = f32;
    const LANES: usize = 1;

    #[inline(always)]
    unsafe fn zero() -> f32 {
        0.0
    }

    #[inline(always)]
    unsafe fn load(at: *const u32) -> f32 {
        // SAFETY: by the contract.
        f32::from_bits(unsafe { at.read() })
    }

    #[inline(always)]
    unsafe fn splat(unit: u32) -> f32 {
        f32::from_bits(unit)
    }

    #[inline(always)]
    unsafe fn multiply_add(sum: f32, a: f32, b: f32) -> f32 {
        a * b + sum
    }

    #[inline(always)]
    unsafe fn store<const SQUARED: bool>(sum: f32, left: u32, right: *const u32, out: *mut f32) {
        // SAFETY: by the contract.
        let terms = f32::from_bits(left) + f32::from_bits(unsafe { right.read() });
        // SAFETY: by the contract.
        unsafe { out.write(if SQUARED { terms - 2.0 * sum } else { terms + sum }) }
    }
}
