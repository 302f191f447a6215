//! Codes made of bit planes: `rabitq`, `axes`, `binary`.
mod encode;
mod layout;
mod model;
mod query;
mod train;

pub(super) use encode::PlaneCoder;
pub(super) use layout::SEGMENT_DIMS;
pub(crate) use layout::{Lane, copy_lane};
pub use layout::{PlaneLayout, PlaneSegment};
pub use model::PlaneModel;
pub(super) use train::STEP;
