//! Values of flags that the argument parser does not know by itself.
mod format;
mod index_name;
mod range;
mod ratio;
mod search_memory;
mod size;

pub use format::OutputFormat;
pub use index_name::parse_index_name;
pub use range::{BadRowRange, RowRange};
pub use ratio::{BadEpsilon, BadRecall, BadShare, parse_epsilon, parse_recall, parse_share};
pub use search_memory::SearchMemory;
pub use size::{BadSize, ByteSize};
