//! Measurements, the sets that they are taken on, and what tests share with them: whether a promised recall is kept.
mod calibrator;
pub mod filters;
mod pair_network;
pub mod promise;
pub mod set;

pub use calibrator::Calibrator;
pub use pair_network::{PAIR_NETWORK_SEED, PairItems, PairNetwork};
