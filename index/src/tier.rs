//! Where a part of an index is while it is searched.
use serde::{Deserialize, Serialize};
use spandrel_names::named;

/// Memory or SSD.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tier {
    /// Read and verified once, when the index is opened.
    Memory,
    /// Read for each query that needs it.
    Ssd,
}

named! { Tier, "place", Memory => "memory", Ssd => "ssd" }
