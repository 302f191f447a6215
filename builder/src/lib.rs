//! Placeholder removed by the first module.
pub mod cluster;
pub mod filing;
