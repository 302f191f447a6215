//! What is measured, and how it is shown: operating points, latencies, memory, the machine.
mod cgroup;
mod columns;
mod latency;
mod machine;
mod point;
mod process;
mod text_table;
pub mod units;

pub use cgroup::memory_limit;
pub use columns::{COLUMNS, Column, points_table};
pub use latency::LatencySummary;
pub use machine::Machine;
pub(crate) use point::shortened;
#[cfg(test)]
pub(crate) use point::tests::example;
pub use point::{OperatingPoint, Point, PointParams, Stages};
pub use process::{ProcessMemory, process_memory};
pub use text_table::{Align, TextTable};
