//! Element types of stored vectors.
use spandrel_names::{UnknownName, named};

/// Largest dimension accepted: the exact integer distance of two u8 vectors still fits an `i32`.
pub const DIM_MAX: usize = 16_384;

/// Run-time tag of a vector's element type. The codes are stored in files and never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum DType {
    /// IEEE 754 single precision.
    F32 = 1,
    /// IEEE 754 half precision.
    F16 = 2,
    /// Signed byte.
    I8 = 3,
    /// Unsigned byte.
    U8 = 4,
}

named! { DType, "element type", F32 => "f32", F16 => "f16", I8 => "i8", U8 => "u8" }

impl DType {
    /// The stable number stored in files.
    pub(crate) const fn code(self) -> u8 {
        self as u8
    }

    /// The element type of a stored number.
    pub(crate) fn from_code(code: u8) -> Result<DType, UnknownName> {
        Self::ALL.into_iter().find(|t| t.code() == code).ok_or_else(|| DType::unknown(&code.to_string()))
    }

    /// Bytes of one element.
    pub const fn bytes(self) -> usize {
        match self {
            DType::F32 => 4,
            DType::F16 => 2,
            DType::I8 | DType::U8 => 1,
        }
    }

    /// Bytes of one vector of `dim` elements.
    pub const fn row_bytes(self, dim: usize) -> usize {
        self.bytes() * dim
    }

    /// Whether distances between vectors of this type are exact integers.
    pub const fn is_integer(self) -> bool {
        matches!(self, DType::I8 | DType::U8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_stable() {
        assert_eq!(DType::ALL.map(DType::code), [1, 2, 3, 4]);
        for t in DType::ALL {
            assert_eq!(DType::from_code(t.code()), Ok(t));
            assert_eq!(t.name().parse(), Ok(t));
        }
        assert!(DType::from_code(0).is_err());
        assert!("f64".parse::<DType>().is_err());
    }
}
