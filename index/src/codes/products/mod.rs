//! Product quantisation (Jégou, Douze and Schmid, "Product quantization for nearest neighbor search", TPAMI 2011).
//!
//! A residual's dimensions are cut into an equal stretch for each sub-quantiser, and each stretch is coded
//! as the nearest of 16 or 256 centroids. As with bit planes the code of each vector has a scale of its own, which makes
//! `<u, r> = |r|^2` and estimates unbiased, and its error is measured when it is coded. Centroids are raised by a gain for
//! each dimension before they stand for a residual. Dimensions are filled up with zeros to a multiple of the sub-quantisers.
mod encode;
mod import;
mod model;
mod nearest;
mod opq;
mod query;
mod train;
mod uniform;

pub(super) use encode::ProductCoder;
pub use import::{Codebooks, CodebooksError};
pub use model::ProductModel;
pub(super) use train::Quantisers;
pub(super) use uniform::uniform_bytes;
