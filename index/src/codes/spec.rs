//! Names of code families.
use std::fmt;
use std::str::FromStr;

/// Which code lists carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CodeSpec {
    /// Exact vectors, the original SPANN: `full`.
    Full,
    /// The same number of bits for every dimension of a randomly rotated residual: `rabitq:B`, 1 to 8.
    RaBitQ {
        /// Bits a dimension.
        bits: u8,
    },
    /// Bits allotted to principal axes of the residuals: `axes:BYTES`, a multiple of 4.
    Axes {
        /// Bytes a vector.
        bytes: u32,
    },
    /// Signs of the elements around the mean, compared with the query's signs: `binary`.
    Binary,
}

/// A name that is no code family of this release.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown code '{0}', expected full, rabitq:B (1 to 8), axes:BYTES (a multiple of 4) or binary")]
pub struct UnknownCode(pub String);

/// Family number of [`CodeSpec::Full`] in section headers.
const FULL: u8 = 1;
/// Family number of all codes made of bit planes.
const PLANES: u8 = 2;

impl CodeSpec {
    /// The stable number stored in headers of codes sections.
    pub const fn family(self) -> u8 {
        match self {
            CodeSpec::Full => FULL,
            CodeSpec::RaBitQ { .. } | CodeSpec::Axes { .. } | CodeSpec::Binary => PLANES,
        }
    }
}

impl fmt::Display for CodeSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CodeSpec::Full => f.pad("full"),
            CodeSpec::RaBitQ { bits } => f.pad(&format!("rabitq:{bits}")),
            CodeSpec::Axes { bytes } => f.pad(&format!("axes:{bytes}")),
            CodeSpec::Binary => f.pad("binary"),
        }
    }
}

impl FromStr for CodeSpec {
    type Err = UnknownCode;

    fn from_str(text: &str) -> Result<CodeSpec, UnknownCode> {
        let spec = match text.split_once(':') {
            None if text == "full" => Some(CodeSpec::Full),
            None if text == "binary" => Some(CodeSpec::Binary),
            Some(("rabitq", bits)) => bits.parse().ok().map(|bits| CodeSpec::RaBitQ { bits }),
            Some(("axes", bytes)) => bytes.parse().ok().map(|bytes| CodeSpec::Axes { bytes }),
            _ => None,
        };
        let valid = |spec: &CodeSpec| match *spec {
            CodeSpec::RaBitQ { bits } => (1..=8).contains(&bits),
            CodeSpec::Axes { bytes } => bytes > 0 && bytes % 4 == 0,
            CodeSpec::Full | CodeSpec::Binary => true,
        };
        spec.filter(valid).ok_or_else(|| UnknownCode(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip_and_others_are_refused() {
        for name in ["full", "rabitq:1", "rabitq:8", "axes:32", "binary"] {
            assert_eq!(name.parse::<CodeSpec>().unwrap().to_string(), name);
        }
        for name in
            ["", "rabitq", "rabitq:0", "rabitq:9", "axes:0", "axes:30", "axes:-4", "binary:1", "pq:8x8"]
        {
            assert!(name.parse::<CodeSpec>().is_err(), "{name}");
        }
    }
}
