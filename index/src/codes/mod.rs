//! Compact codes of vectors, and estimates of distances from them.
//!
//! A code stands for a residual, vector less head, rotated. With `c` the head, `r` the residual and `u` the code's
//! values counted from the middle of their range and times their steps, all rotated,
//! `|q - x|^2 = |q - c|^2 + |r|^2 - 2 <r, q - c>` and `<r, v>` is estimated by `|r|^2 <u, v> / <u, r>`, which is
//! unbiased over random rotations. Hence `estimate = |q - c|^2 + add + mul <u, q>` with
//! `add = |r|^2 + 2 |r|^2 <c, u> / <u, r>` and `mul = -2 |r|^2 / <u, r>`, both kept with the code.
//!
//! Distances are squared L2 in head space, for every metric. Promises: the same vectors give the same codes; the
//! stated standard error counts the rounding of code and query. It does not know where codes lie, nor which of them
//! a query looks at.
mod aware;
mod axes;
mod encoder;
mod error;
mod factors;
mod family;
mod fields;
mod frame;
mod held_out;
mod planes;
mod pool;
mod products;
mod query;
mod recurrent;
mod rotation;
mod rounding;
mod sample;
mod sizes;
mod spec;
mod sums;

pub use aware::QueryMoments;
pub use axes::AXES_DIM_MAX;
pub use encoder::{CodeBlocks, Encoder};
pub use error::TrainError;
pub use factors::Factors;
pub(crate) use factors::{Steps, factor_block};
pub use family::CodeModel;
pub use held_out::is_held_out;
pub(crate) use planes::{Lane, copy_lane};
pub use planes::{PlaneLayout, PlaneModel, PlaneSegment};
pub use products::{Codebooks, CodebooksError, ProductModel};
pub use query::CodeQuery;
pub use recurrent::{Binariser, BinariserError, RecurrentModel};
pub use rotation::{DenseRotation, Rotation, RotationScratch};
pub(crate) use spec::CODE_NAMES;
pub use spec::{CodeSpec, UnknownCode};

#[cfg(test)]
mod tests;
