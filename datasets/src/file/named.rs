//! Files by name, and what their names tell.
use std::path::Path;

use super::error::FileError;
use super::format::{Format, UnknownFormat};

impl Format {
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
}

/// A file to read, and what its name does not say.
#[derive(Debug, Clone, Copy)]
pub struct InFile<'a> {
    /// Path to read. Its extension says the format, unless the format is given.
    pub path: &'a Path,
    /// Its format where the name does not tell it.
    pub format: Option<Format>,
    /// Whether the whole rows that are there are taken where the header counts more.
    pub truncated: bool,
}

/// A file to write, and what its name does not say.
#[derive(Debug, Clone, Copy)]
pub struct OutFile<'a> {
    /// Path to write. Its extension says the format, unless the format is given.
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
        }
        for path in ["x", "x.bin", "x.fbin.gz", "fbin", "", "x.fbin.crop_nb_", "x.fbin.crop_nb_1x", ".."] {
            let message = Format::of(Path::new(path)).unwrap_err().to_string();
            assert!(message.contains("f16bin, i8bin"), "{message}");
            assert_eq!(Format::of_or(Path::new(path), Some(Format::Npy)).unwrap(), Format::Npy);
        }
        assert_eq!(Format::of_or(Path::new("x.fbin"), Some(Format::Npy)).unwrap(), Format::Fbin);
    }
}
