//! The known formats, told by file extension or by the caller.
use std::fmt;
use std::path::Path;
use std::str::FromStr;

use spandrel_index::DType;

use super::FileError;

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

    /// The format of a file, by its extension (in either case). A crop's `.crop_nb_N` behind the extension is left out.
    ///
    /// # Errors
    /// [`FileError::UnknownFormat`], which lists the known ones.
    pub fn of(path: &Path) -> Result<Format, FileError> {
        let unknown = || FileError::UnknownFormat { path: path.to_owned() };
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let whole = match name.rsplit_once(".crop_nb_") {
            Some((whole, rows)) if !rows.is_empty() && rows.bytes().all(|b| b.is_ascii_digit()) => whole,
            _ => &name,
        };
        let (_, extension) = whole.rsplit_once('.').ok_or_else(unknown)?;
        extension.parse().map_err(|UnknownFormat| unknown())
    }

    /// The format of a file, by its name, or as the caller says where the name does not tell.
    ///
    /// # Errors
    /// [`FileError::UnknownFormat`] where neither tells.
    pub fn of_or(path: &Path, otherwise: Option<Format>) -> Result<Format, FileError> {
        Format::of(path).or_else(|unknown| otherwise.ok_or(unknown))
    }

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

/// A file to read, and what its name does not say.
#[derive(Debug, Clone, Copy)]
pub struct InFile<'a> {
    /// The file.
    pub path: &'a Path,
    /// Its format where the name does not tell it.
    pub format: Option<Format>,
    /// Whether the whole rows that are there are taken where the header counts more.
    pub truncated: bool,
}

/// A file to write, and what its name does not say.
#[derive(Debug, Clone, Copy)]
pub struct OutFile<'a> {
    /// The file.
    pub path: &'a Path,
    /// Its format where the name does not tell it.
    pub format: Option<Format>,
}

impl<'a, P: AsRef<Path> + ?Sized> From<&'a P> for InFile<'a> {
    fn from(path: &'a P) -> InFile<'a> {
        InFile { path: path.as_ref(), format: None, truncated: false }
    }
}

impl<'a, P: AsRef<Path> + ?Sized> From<&'a P> for OutFile<'a> {
    fn from(path: &'a P) -> OutFile<'a> {
        OutFile { path: path.as_ref(), format: None }
    }
}

impl InFile<'_> {
    /// The format, by the name or as the caller says.
    ///
    /// # Errors
    /// [`FileError::UnknownFormat`].
    pub fn format(&self) -> Result<Format, FileError> {
        Format::of_or(self.path, self.format)
    }
}

impl OutFile<'_> {
    /// The format, by the name or as the caller says.
    ///
    /// # Errors
    /// [`FileError::UnknownFormat`].
    pub fn format(&self) -> Result<Format, FileError> {
        Format::of_or(self.path, self.format)
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
            let crop = format!("base.1B.{format}.crop_nb_10000000");
            assert_eq!(Format::of(Path::new(&crop)).unwrap(), format);
            assert_eq!(format.to_string().parse(), Ok(format));
        }
        for path in ["x", "x.bin", "x.fbin.gz", "fbin", "", "x.fbin.crop_nb_", "x.fbin.crop_nb_1x", ".."] {
            let message = Format::of(Path::new(path)).unwrap_err().to_string();
            assert!(message.contains("f16bin, i8bin"), "{message}");
            assert_eq!(Format::of_or(Path::new(path), Some(Format::Npy)).unwrap(), Format::Npy);
        }
        assert_eq!(Format::of_or(Path::new("x.fbin"), Some(Format::Npy)).unwrap(), Format::Fbin);
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
