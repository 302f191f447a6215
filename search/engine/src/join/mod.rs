//! The `k` nearest of many queries at once, list by list.
//!
//! Queries near one list are a *group*: the rows of the list itself, or given queries whose nearest head is that of the list. A group
//! searches once for the lists near it (Prober), and a row of it looks into those that may hold one of its neighbours. Vectors of a list are
//! compared with all rows of a group that look into it in one matrix product, while they lie in the cache: for bytes that takes less time than to
//! estimate a distance from a code. So no codes are needed, and nothing is compared a second time.
//!
//! A row looks into a list iff `d <= d1 + t + 2 g sqrt(t d1)`: `d` the squared distance to the list's head, `d1` to the nearest head, `t` to the
//! `k`-th neighbour so far. With `g = 1` that is `(sqrt(t) + sqrt(d1))^2`, beyond which no list as wide as the nearest has a nearer vector. Before
//! the join a sample of the queries is compared with all vectors, and the least `g` is taken that finds the recall asked for (`tune`).
//!
//! What is found depends on the index, the queries and the parameters alone, not on threads or memory.
mod assign;
mod error;
mod gate;
mod groups;
mod lists;
mod memory;
mod nearest;
mod run;
mod scan;
mod tune;

pub use error::JoinError;
pub use memory::JoinMemory;
pub use run::{Join, JoinGroup, JoinParams, JoinWork};
pub use tune::Tuned;
