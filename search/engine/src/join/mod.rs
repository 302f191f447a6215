//! The `k` nearest of many queries at once, list by list.
//!
//! Vectors of an index in the order of their lists, or given queries in the order of the lists that they are nearest to, are cut into *groups*.
//! Rows of a group near the same list search once for the lists near them (Prober), and each of them looks into those that may hold one of its neighbours.
//! Vectors of a list are compared with all rows of a group that look into it in one matrix product, while they lie in the cache: for bytes that takes less
//! time than to estimate a distance from a code. So no codes are needed, and nothing is compared a second time.
//!
//! A row looks into its nearest lists: into fewer where they are soon much farther than the first (`reach`). Before the join a sample of the queries
//! is compared with all vectors. Where their neighbours lie says which rule finds the recall asked for with the fewest comparisons (`tune`).
//!
//! What is found depends on the index, the queries and the parameters alone, not on threads or memory.
mod assign;
mod error;
mod gate;
mod groups;
mod lists;
mod memory;
mod near;
mod nearest;
mod reach;
mod row;
mod run;
mod sample;
mod scan;
mod tune;

pub use error::JoinError;
pub use memory::JoinMemory;
pub use run::{Join, JoinGroup, JoinParams, JoinWork};
pub use tune::Tuned;
