//! Things that fail on purpose, for the tests of the rooms above: stricter than the real ones.
#![deny(clippy::indexing_slicing)]

mod inline;
mod reader;
mod schedule;
mod store;

pub use inline::InlineReader;
pub use reader::FaultyReader;
pub use schedule::{Fault, FaultRates, Schedule};
pub use store::CrashStore;
