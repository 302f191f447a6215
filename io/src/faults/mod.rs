//! Things that fail on purpose, for the tests of the rooms above: stricter than the real ones.
#![deny(clippy::indexing_slicing)]

mod folder;
mod reader;
mod schedule;

pub use folder::CrashFolder;
pub use reader::FaultyReader;
pub use schedule::{Fault, FaultRates, Schedule};
