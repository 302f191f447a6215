//! The `k` nearest of many queries at once, list by list.
//!
//! Queries near one list are a *group*: the rows of the list itself, or given queries whose nearest head is that of the list. A group
//! searches once for the lists near it (Prober), and a row of it looks into those that may hold one of its neighbours. Vectors of a list are
//! compared with all rows of a group that look into it in one matrix product, while they lie in the cache: for bytes that takes less time than to
//! estimate a distance from a code. So no codes are needed, and nothing is compared a second time.
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
