//! Where a part of an index is while it is searched.
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Memory or SSD.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tier {
    /// Read and verified once, when the index is opened.
    Memory,
    /// Read for each query that needs it.
    Ssd,
}

/// A name that is no tier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown place '{0}', expected memory or ssd")]
pub struct UnknownTier(pub String);

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Tier::Memory => "memory",
            Tier::Ssd => "ssd",
        })
    }
}

impl FromStr for Tier {
    type Err = UnknownTier;

    fn from_str(text: &str) -> Result<Tier, UnknownTier> {
        match text {
            "memory" => Ok(Tier::Memory),
            "ssd" => Ok(Tier::Ssd),
            _ => Err(UnknownTier(text.to_owned())),
        }
    }
}
