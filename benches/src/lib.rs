//! Measurements, the sets that they are taken on, and what tests share with them: whether a promised recall is kept.
mod calibrator;
pub mod filters;
pub mod promise;
pub mod set;

pub use calibrator::Calibrator;
