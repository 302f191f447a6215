//! Measurements, and the sets that they are taken on.
pub mod set;
