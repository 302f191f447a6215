//! Recurrent binary codes (Gan et al., "Binary embedding-based retrieval at Tencent", KDD 2023): `bits`.
//!
//! A vector `f` is `U` codes of `M` bits. `r_0 = f`, `r_t = f - R_(t-1) v_(t-1)`, `b_t = sign(W_t r_t)` in {-1, +1}, and
//! `v_t = sum over s <= t of 2^-s b_s`. So each element of the last `v` is a number of `U` bits, and codes lie in bit planes as those of
//! `codes::planes` do. The `W_t` and `R_t` are learned elsewhere, or here by rotations.
//!
//! Where they are learned here, vectors are measured from the head of their list, in a scale in which they have length 1. Given
//! matrices code vectors less one point for all, as they are. As with the other families the
//! code of each vector has a scale of its own, and its error is measured when it is coded: `|f|^2 / <v, W_0 f>`, with which `v` times `W_0^T`
//! stands for `f`. A query is `W_0 q` in bytes, or is coded alike (`+symmetric`).
mod encode;
mod given;
mod model;
mod query;
mod shape;
mod train;

pub(super) use encode::RecurrentCoder;
pub use given::{Binariser, BinariserError};
pub use model::RecurrentModel;
pub(super) use shape::RecurrentShape;
pub(super) use train::trained_bits_max;

#[cfg(test)]
mod tests;
