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
    /// a residual rotated so that the stretches are coded equally well; with `+uniform` of centroids learned with equal shares of the
    /// residuals.
    Products {
        /// Sub-quantisers.
        quantisers: u32,
        /// Bits of each.
        bits: u8,
        /// Whether residuals are rotated.
        rotated: bool,
        /// Whether each centroid learns from an equal share.
        uniform: bool,
    },
    /// Signs, and signs of what those before leave: `bits:MxU`, U codes of M bits, a multiple of 32; with `+symmetric` queries are coded as
    /// vectors are.
    Recurrent {
        /// Bits of a code.
        bits: u32,
        /// Codes of a vector, 1 to 4.
        codes: u8,
        /// Whether queries are coded.
        symmetric: bool,
    },
}

/// A name that is no code family of this release.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown code '{0}', expected {CODE_NAMES}")]
pub struct UnknownCode(pub String);

/// The names that there are.
pub(crate) const CODE_NAMES: &str = "full, rabitq:B (1 to 8), axes:BYTES (a multiple of 4), pq:MxN[+opq][+uniform] (N of 4 or \
                                     8), bits:MxU[+symmetric] (M a multiple of 32, U 1 to 4) or binary";

/// Family number of [`CodeSpec::Full`] in section headers.
const FULL: u8 = 1;
/// Family number of all codes made of bit planes.
const PLANES: u8 = 2;
/// Family number of product codes.
const PRODUCTS: u8 = 3;
/// Family number of recurrent binary codes.
const RECURRENT: u8 = 4;
/// Most recurrent binary codes of a vector.
const CODES_MAX: u8 = 4;

impl CodeSpec {
    /// The stable number stored in headers of codes sections.
    pub const fn family(self) -> u8 {
        match self {
            CodeSpec::Full => FULL,
            CodeSpec::RaBitQ { .. } | CodeSpec::Axes { .. } | CodeSpec::Binary => PLANES,
            CodeSpec::Products { .. } => PRODUCTS,
            CodeSpec::Recurrent { .. } => RECURRENT,
        }
    }
}

/// What a rotated product code's name ends with.
const OPQ: &str = "+opq";
/// What the name of a product code ends with whose centroids learned from equal shares.
const UNIFORM: &str = "+uniform";
/// What the name of a recurrent binary code ends with where queries are coded.
const SYMMETRIC: &str = "+symmetric";

impl fmt::Display for CodeSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CodeSpec::Full => f.pad("full"),
            CodeSpec::RaBitQ { bits } => f.pad(&format!("rabitq:{bits}")),
            CodeSpec::Axes { bytes } => f.pad(&format!("axes:{bytes}")),
            CodeSpec::Binary => f.pad("binary"),
            CodeSpec::Products { quantisers, bits, rotated, uniform } => {
                let (opq, uniform) = (if *rotated { OPQ } else { "" }, if *uniform { UNIFORM } else { "" });
                f.pad(&format!("pq:{quantisers}x{bits}{opq}{uniform}"))
            }
            CodeSpec::Recurrent { bits, codes, symmetric } => {
                f.pad(&format!("bits:{bits}x{codes}{}", if *symmetric { SYMMETRIC } else { "" }))
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
            Some(("pq", shape)) => {
                let (shape, uniform) = ends_with(shape, UNIFORM);
                shape_of(shape, OPQ).map(|(quantisers, bits, rotated)| CodeSpec::Products {
                    quantisers,
                    bits,
                    rotated,
                    uniform,
                })
            }
            Some(("bits", shape)) => shape_of(shape, SYMMETRIC)
                .map(|(bits, codes, symmetric)| CodeSpec::Recurrent { bits, codes, symmetric }),
            _ => None,
        };
        let valid = |spec: &CodeSpec| match *spec {
            CodeSpec::RaBitQ { bits } => (1..=8).contains(&bits),
            CodeSpec::Axes { bytes } => bytes > 0 && bytes % 4 == 0,
            CodeSpec::Products { quantisers, bits, .. } => {
                (1..=DIM_MAX as u32).contains(&quantisers) && matches!(bits, 4 | 8) // CAST: a constant
            }
            CodeSpec::Recurrent { bits, codes, .. } => {
                bits > 0 && bits % 32 == 0 && bits <= DIM_MAX as u32 && (1..=CODES_MAX).contains(&codes) // CAST: a constant
            }
            CodeSpec::Full | CodeSpec::Binary => true,
        };
        spec.filter(valid).ok_or_else(|| UnknownCode(text.to_owned()))
    }
}

/// A count, the bits or codes of each, and whether an ending follows, as in `16x8+opq`.
fn shape_of(text: &str, ending: &str) -> Option<(u32, u8, bool)> {
    let (shape, ends) = ends_with(text, ending);
    let (count, of_each) = shape.split_once('x')?;
    Some((count.parse().ok()?, of_each.parse().ok()?, ends))
}

/// A text without an ending, and whether it had it.
fn ends_with<'a>(text: &'a str, ending: &str) -> (&'a str, bool) {
    match text.strip_suffix(ending) {
        Some(rest) => (rest, true),
        None => (text, false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip_and_others_are_refused() {
        for name in [
            "full",
            "rabitq:1",
            "rabitq:8",
            "axes:32",
            "binary",
            "pq:16x8",
            "pq:32x4+opq",
            "pq:32x4+uniform",
            "pq:32x8+opq+uniform",
            "bits:128x1",
            "bits:96x4+symmetric",
        ] {
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
            "pq:8x8+uniform+opq",
            "bits:64x2+uniform",
            "bits:64",
            "bits:0x1",
            "bits:48x2",
            "bits:64x0",
            "bits:64x5",
            "bits:64x2+opq",
            "bits:16416x1",
        ] {
            assert!(name.parse::<CodeSpec>().is_err(), "{name}");
        }
    }
}
