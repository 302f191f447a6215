//! Files of ids: the caller's numbers for the rows of a file of vectors.
#![deny(clippy::indexing_slicing)]
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use fs_err::File;
use spandrel_index::SourceError;

use super::layout::{Element, Layout};
use super::{FileError, Format};

/// A file of ids, one a row, open for reading: ibin or npy of 32-bit ids, npy of 64-bit ids.
#[derive(Debug)]
pub struct IdFile {
    path: PathBuf,
    file: File,
    layout: Layout,
}

impl IdFile {
    /// Opens a file and checks its header against its length.
    ///
    /// # Errors
    /// Unknown extension, a file of vectors, more than one id in a row, a truncated or oversized file.
    pub fn open(path: impl AsRef<Path>) -> Result<IdFile, FileError> {
        let path = path.as_ref();
        let format = Format::of(path)?;
        let file = File::open(path)?;
        let layout = Layout::read(path, &file)?;
        let refuse = |wanted: &str| FileError::Kind {
            path: path.to_owned(),
            format,
            wanted: wanted.to_owned(),
            instead: "ibin or npy with one id in each row",
        };
        match layout.element {
            Element::Vector(_) => Err(refuse("ids (its elements are vectors)")),
            _ if layout.width != 1 || layout.prefix_bytes > 0 => Err(refuse("one id for each row")),
            _ => Ok(IdFile { path: path.to_owned(), file, layout }),
        }
    }

    /// Number of ids.
    pub fn len(&self) -> u64 {
        self.layout.rows
    }

    /// Whether there is no id; a file of none is refused when it is opened.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Fills `out` with the ids of the rows from `first` on. Negative 64-bit ids count from 2^63 up.
    ///
    /// # Errors
    /// [`SourceError`].
    pub fn read_ids(&self, first: u64, out: &mut [u64]) -> Result<(), SourceError> {
        let end = first.saturating_add(out.len() as u64);
        if end > self.len() {
            let name = self.path.display().to_string();
            return Err(SourceError::Range { name, first, end, len: self.len() });
        }
        let mut bytes = vec![0; out.len() * self.layout.row_bytes()];
        let offset = self.layout.row_at(first);
        self.file.file().read_exact_at(&mut bytes, offset).map_err(|source| SourceError::Read {
            path: self.path.clone(),
            offset,
            bytes: bytes.len(),
            source,
        })?;
        if self.layout.element == Element::Id32 {
            for (id, &bytes) in out.iter_mut().zip(bytes.as_chunks::<4>().0) {
                *id = u64::from(u32::from_le_bytes(bytes));
            }
        } else {
            for (id, &bytes) in out.iter_mut().zip(bytes.as_chunks::<8>().0) {
                *id = u64::from_le_bytes(bytes);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_ids_of_both_widths_and_refuses_the_rest() {
        let dir = tempfile::tempdir().unwrap();
        let narrow = dir.path().join("a.ibin");
        let words = [3_u32, 1, 7, 8, 9].map(u32::to_le_bytes).concat();
        std::fs::write(&narrow, &words).unwrap();
        let file = IdFile::open(&narrow).unwrap();
        let mut ids = [0; 2];
        file.read_ids(1, &mut ids).unwrap();
        assert_eq!((file.len(), ids), (3, [8, 9]));
        assert!(matches!(file.read_ids(2, &mut ids), Err(SourceError::Range { .. })));

        let wide = dir.path().join("a.npy");
        let mut npy = super::super::npy::write("<i8", 2, 1);
        npy.extend([5_i64, 1 << 40].map(i64::to_le_bytes).concat());
        std::fs::write(&wide, &npy).unwrap();
        IdFile::open(&wide).unwrap().read_ids(0, &mut ids).unwrap();
        assert_eq!(ids, [5, 1 << 40]);

        let pairs = dir.path().join("b.ibin");
        let words = [1_u32, 2, 7, 8].map(u32::to_le_bytes).concat();
        std::fs::write(&pairs, &words).unwrap();
        assert!(matches!(IdFile::open(&pairs), Err(FileError::Kind { .. })));
    }
}
