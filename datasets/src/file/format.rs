//! The known formats, told by file extension.
use std::fmt;
use std::path::Path;

use spandrel_index::DType;

use super::FileError;

/// A file format, told by the extension.
///
/// ```text
/// *bin     u32 rows, u32 elements per row, then rows back to back
/// *vecs    every row: i32 elements, then the elements
/// npy      magic, version, a Python dictionary, then rows back to back (C order)
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
    /// `.ibin`: 32-bit ids behind two counts, then optionally as many f32 distances.
    Ibin,
    /// `.fvecs`: f32 rows, each behind its length.
    Fvecs,
    /// `.bvecs`: u8 rows, each behind its length.
    Bvecs,
    /// `.ivecs`: rows of 32-bit ids, each behind its length.
    Ivecs,
    /// `.npy`: NumPy's own, versions 1 to 3, two dimensions, C order, little-endian.
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

    /// The format of a file, by its extension (in either case).
    ///
    /// # Errors
    /// [`FileError::UnknownFormat`], which lists the known ones.
    pub fn of(path: &Path) -> Result<Format, FileError> {
        let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
        Self::ALL
            .into_iter()
            .find(|f| f.extension().eq_ignore_ascii_case(extension))
            .ok_or_else(|| FileError::UnknownFormat { path: path.to_owned() })
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

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.extension())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extensions_name_formats() {
        for format in Format::ALL {
            let path = format!("a.b/c.{format}");
            assert_eq!(Format::of(Path::new(&path)).unwrap(), format);
            assert_eq!(Format::of(Path::new(&path.to_uppercase())).unwrap(), format);
        }
        for path in ["x", "x.bin", "x.fbin.gz", "fbin", ""] {
            let message = Format::of(Path::new(path)).unwrap_err().to_string();
            assert!(message.contains("f16bin, i8bin"), "{message}");
        }
    }

    #[test]
    fn implied_types_are_held() {
        for format in Format::ALL {
            if let Some(dtype) = format.dtype() {
                assert_eq!(DType::ALL.map(|t| format.holds(t)), DType::ALL.map(|t| t == dtype));
            }
        }
    }
}
