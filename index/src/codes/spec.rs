//! Names of code families.
use std::fmt;
use std::str::FromStr;

use crate::DIM_MAX;

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
    /// The nearest centroids of stretches of the residual: `pq:MxN`, M sub-quantisers of N bits, 4 or 8; with `+opq` of
    /// a residual rotated so that the stretches are coded equally well.
    Products {
        /// Sub-quantisers.
        quantisers: u32,
        /// Bits of each.
        bits: u8,
        /// Whether residuals are rotated.
        rotated: bool,
    },
}

/// A name that is no code family of this release.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "unknown code '{0}', expected full, rabitq:B (1 to 8), axes:BYTES (a multiple of 4), pq:MxN[+opq] (N of 4 or 8) or binary"
)]
pub struct UnknownCode(pub String);

/// Family number of [`CodeSpec::Full`] in section headers.
const FULL: u8 = 1;
/// Family number of all codes made of bit planes.
const PLANES: u8 = 2;
/// Family number of product codes.
const PRODUCTS: u8 = 3;

impl CodeSpec {
    /// The stable number stored in headers of codes sections.
    pub const fn family(self) -> u8 {
        match self {
            CodeSpec::Full => FULL,
            CodeSpec::RaBitQ { .. } | CodeSpec::Axes { .. } | CodeSpec::Binary => PLANES,
            CodeSpec::Products { .. } => PRODUCTS,
        }
    }
}

/// What a rotated product code's name ends with.
const OPQ: &str = "+opq";

impl fmt::Display for CodeSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CodeSpec::Full => f.pad("full"),
            CodeSpec::RaBitQ { bits } => f.pad(&format!("rabitq:{bits}")),
            CodeSpec::Axes { bytes } => f.pad(&format!("axes:{bytes}")),
            CodeSpec::Binary => f.pad("binary"),
            CodeSpec::Products { quantisers, bits, rotated } => {
                f.pad(&format!("pq:{quantisers}x{bits}{}", if *rotated { OPQ } else { "" }))
            }
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
            Some(("pq", shape)) => products(shape),
            _ => None,
        };
        let valid = |spec: &CodeSpec| match *spec {
            CodeSpec::RaBitQ { bits } => (1..=8).contains(&bits),
            CodeSpec::Axes { bytes } => bytes > 0 && bytes % 4 == 0,
            CodeSpec::Products { quantisers, bits, .. } => {
                (1..=DIM_MAX as u32).contains(&quantisers) && matches!(bits, 4 | 8) // CAST: a constant
            }
            CodeSpec::Full | CodeSpec::Binary => true,
        };
        spec.filter(valid).ok_or_else(|| UnknownCode(text.to_owned()))
    }
}

/// A product code from what follows `pq:`.
fn products(shape: &str) -> Option<CodeSpec> {
    let (shape, rotated) = match shape.strip_suffix(OPQ) {
        Some(shape) => (shape, true),
        None => (shape, false),
    };
    let (quantisers, bits) = shape.split_once('x')?;
    Some(CodeSpec::Products { quantisers: quantisers.parse().ok()?, bits: bits.parse().ok()?, rotated })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip_and_others_are_refused() {
        for name in ["full", "rabitq:1", "rabitq:8", "axes:32", "binary", "pq:16x8", "pq:32x4+opq"] {
            assert_eq!(name.parse::<CodeSpec>().unwrap().to_string(), name);
        }
        for name in [
            "",
            "rabitq",
            "rabitq:0",
            "rabitq:9",
            "axes:0",
            "axes:30",
            "axes:-4",
            "binary:1",
            "pq:8",
            "pq:8x5",
            "pq:0x8",
            "pq:8x8+",
            "pq:x8",
            "pq:99999x8",
            "opq:8x8",
        ] {
            assert!(name.parse::<CodeSpec>().is_err(), "{name}");
        }
    }
}
