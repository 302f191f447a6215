//! Distance kernels: one folder per instruction set, the scalar reference beside them, chosen at run time.
//!
//! Two shapes: [`PairKernel`] scores one query against rows as they lie in a list; [`BlockKernel`] scores
//! many rows against many rows as one matrix product, and [`below`] picks out of its values. Integers accumulate
//! exactly in `i32` and are rounded once, to `f32`, at the end. Rows are little-endian bytes and need no alignment.
//! Loops are written once (`lane`, `tile`); an instruction set supplies the registers.
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod block;
mod blocks;
mod lane;
pub mod lookup;
pub(crate) mod matrix;
#[cfg(target_arch = "aarch64")]
mod neon;
mod pair;
mod products;
mod push;
#[cfg(test)]
mod reference;
mod scalar;
pub mod scan;
mod select;
mod tile;
mod variant;

pub use block::{BlockKernel, LeftRows, Picked, RightRows};
pub use pair::PairKernel;
pub use select::{below, below_with, first_at_most, least};
pub use variant::Variant;

/// What a kernel computes for two rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// `sum (a_i - b_i)^2`.
    SquaredL2,
    /// `sum a_i b_i`, not negated.
    InnerProduct,
}
