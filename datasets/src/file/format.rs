//! The known formats, told by file extension or by the caller.
use std::fmt;
use std::str::FromStr;

use spandrel_index::DType;

/// A file format, told by the extension.
///
/// ```text
/// *bin     u32 rows, u32 elements per row, then rows back to back
/// *vecs    every row: i32 elements, then the elements
/// npy      magic, version, a Python dictionary, then the elements
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// `.fbin`: f32 rows behind two counts.
    Fbin,
    /// `.f16bin`: f16 rows behind two counts.
    F16bin,
    /// `.i8bin`: i8 rows behind two counts.
    I8bin,
    /// `.u8bin`: u8 rows behind two counts.
    U8bin,
    /// `.ibin`: 32-bit ids behind two counts, then optionally an f32 distance for each.
    Ibin,
    /// `.fvecs`: f32 rows, each behind its length.
    Fvecs,
    /// `.bvecs`: u8 rows, each behind its length.
    Bvecs,
    /// `.ivecs`: rows of 32-bit ids, each behind its length.
    Ivecs,
    /// `.npy`: NumPy's own, versions 1 to 3, two dimensions.
    Npy,
}

impl Format {
    /// Every format.
    pub const ALL: [Format; 9] = [
        Format::Fbin,
        Format::F16bin,
        Format::I8bin,
        Format::U8bin,
        Format::Ibin,
        Format::Fvecs,
        Format::Bvecs,
        Format::Ivecs,
        Format::Npy,
    ];

    /// The largest id that a file of this format can hold.
    pub const fn id_max(self) -> u64 {
        match self {
            Format::Ibin => u32::MAX as u64,  // CAST: widening
            Format::Ivecs => i32::MAX as u64, // CAST: positive
            _ => u64::MAX,
        }
    }

    /// The format of vectors of a type behind two counts.
    pub const fn bin_of(dtype: DType) -> Format {
        match dtype {
            DType::F32 => Format::Fbin,
            DType::F16 => Format::F16bin,
            DType::I8 => Format::I8bin,
            DType::U8 => Format::U8bin,
        }
    }

    /// The extension, without its dot.
    pub const fn extension(self) -> &'static str {
        match self {
            Format::Fbin => "fbin",
            Format::F16bin => "f16bin",
            Format::I8bin => "i8bin",
            Format::U8bin => "u8bin",
            Format::Ibin => "ibin",
            Format::Fvecs => "fvecs",
            Format::Bvecs => "bvecs",
            Format::Ivecs => "ivecs",
            Format::Npy => "npy",
        }
    }

    /// Whether a file of this format can hold vectors of a type.
    pub fn holds(self, dtype: DType) -> bool {
        match self {
            Format::Fbin | Format::Fvecs => dtype == DType::F32,
            Format::F16bin => dtype == DType::F16,
            Format::I8bin => dtype == DType::I8,
            Format::U8bin | Format::Bvecs => dtype == DType::U8,
            Format::Ibin | Format::Ivecs => false,
            Format::Npy => true,
        }
    }

    /// The element type that the format itself implies for vectors. None for npy and for ids.
    pub const fn dtype(self) -> Option<DType> {
        match self {
            Format::Fbin | Format::Fvecs => Some(DType::F32),
            Format::F16bin => Some(DType::F16),
            Format::I8bin => Some(DType::I8),
            Format::U8bin | Format::Bvecs => Some(DType::U8),
            Format::Ibin | Format::Ivecs | Format::Npy => None,
        }
    }

    /// The known extensions, for a message.
    pub(crate) fn known() -> String {
        Self::ALL.map(Format::extension).join(", ")
    }
}

/// A word that names no format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected {known}", known = Format::known())]
pub struct UnknownFormat;

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(text: &str) -> Result<Format, UnknownFormat> {
        Format::ALL.into_iter().find(|f| f.extension().eq_ignore_ascii_case(text)).ok_or(UnknownFormat)
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.extension())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_named_by_their_extensions() {
        for format in Format::ALL {
            assert_eq!(format.to_string().parse(), Ok(format));
        }
        assert_eq!("bin".parse::<Format>(), Err(UnknownFormat));
    }

    #[test]
    fn implied_types_are_held() {
        for format in Format::ALL {
            if let Some(dtype) = format.dtype() {
                assert_eq!(Format::bin_of(dtype).dtype(), Some(dtype));
                assert_eq!(DType::ALL.map(|t| format.holds(t)), DType::ALL.map(|t| t == dtype));
            }
        }
    }
}
