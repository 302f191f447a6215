//! What is measured, and how it is shown: operating points, latencies, memory, the machine.
mod cgroup;
mod latency;
mod machine;
mod params;
mod point;
mod process;
mod show;
mod table;
mod text_table;
pub mod units;
mod written;

pub use cgroup::memory_limit;
pub use latency::LatencySummary;
pub use machine::Machine;
pub(crate) use params::shortened;
pub use params::{Params, PointParams};
#[cfg(test)]
pub(crate) use point::example;
pub use point::{COLUMNS, Column, KEYS, Point, STAGES};
pub use process::{ProcessMemory, process_memory};
pub use table::points_table;
pub use text_table::{Align, TextTable};
pub(crate) use written::{short, written};
