//! Codes that know queries: what is coded is turned and stretched so that the errors that queries see are small.
//!
//! An estimate is off by `<e, v>`, where `e` is what the code of a residual loses and `v` is the query as seen from a point. With
//! `H = E[v v^T]` and an invertible `T`, `<r, v> = <T r, T^-T v>`: vectors are coded as `T r`, queries as `T^-T v`. Product codes lose
//! the same in all directions, so `T^T T = H` is best, as in A2ATS (He et al., 2025). Bit planes lose in proportion to a vector's length, so
//! both sides have to be spread alike: `T^T T` is the geometric mean of `H` and the inverse of `E[r r^T]`.
//!
//! The point is the head of the list, or the mean of the queries (the anchor): the product with that is then kept with each code, exactly,
//! and the model's mean is the anchor.
mod map;
mod moments;

pub(super) use map::{MapForm, QueryMap};
pub use moments::QueryMoments;
pub(super) use moments::Weighting;

#[cfg(test)]
mod tests;
