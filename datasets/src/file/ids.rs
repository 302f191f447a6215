//! Files of ids: the caller's numbers for the rows of a file of vectors.
#![deny(clippy::indexing_slicing)]
use std::path::{Path, PathBuf};

use fs_err::File;
use spandrel_index::SourceError;

use super::element::Element;
use super::layout::Layout;
use super::stored::Stored;
use super::{FileError, Format, InFile};

/// A file of ids, one a row, open for reading: ibin of 32-bit ids, npy of 32 or 64 bits. A file whose name tells no format
/// is taken for an ibin.
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
    /// A file of vectors, more than one id in a row, a truncated or oversized file.
    pub fn open(path: impl AsRef<Path>) -> Result<IdFile, FileError> {
        let path = path.as_ref();
        let from = InFile { format: Some(Format::Ibin), ..path.into() };
        let (file, layout) = Layout::open(from)?;
        let refuse = |wanted: &str| FileError::Kind {
            path: path.to_owned(),
            format: layout.format,
            wanted: wanted.to_owned(),
            instead: "ibin or npy with one id in each row",
        };
        match layout.element {
            Element::Vector(_) | Element::Double => Err(refuse("ids (its elements are vectors)")),
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

    /// Fills `out` with the ids of the rows from `first` on.
    ///
    /// # Errors
    /// [`SourceError`], of a negative id too.
    pub fn read_ids(&self, first: u64, out: &mut [u64]) -> Result<(), SourceError> {
        let rows = out.len() as u64; // CAST: usize is 64 bits here
        let end = first.saturating_add(rows);
        if end > self.len() {
            let name = self.path.display().to_string();
            return Err(SourceError::Range { name, first, end, len: self.len() });
        }
        let stored = Stored { path: &self.path, file: &self.file, layout: &self.layout };
        let mut ids = Vec::with_capacity(out.len());
        stored.read_ids(first, rows, &mut ids)?;
        out.copy_from_slice(&ids);
        Ok(())
    }

    /// All ids, by row.
    ///
    /// # Errors
    /// Those of [`IdFile::read_ids`].
    pub fn read_all(&self) -> Result<Vec<u64>, SourceError> {
        let mut ids = vec![0; usize::try_from(self.len()).unwrap_or(usize::MAX)];
        self.read_ids(0, &mut ids)?;
        Ok(ids)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_all_forms_are_read_and_negative_ones_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.npy");
        let open = |descr: &str, bytes: &[u8], rows: u64| {
            std::fs::write(&path, [&super::super::npy::write(descr, rows, 1)[..], bytes].concat()).unwrap();
            IdFile::open(&path).unwrap().read_all()
        };
        let big =
            |words: &[u64]| words.iter().flat_map(|w| w.swap_bytes().to_le_bytes()).collect::<Vec<u8>>();
        let large = u64::MAX - 1;
        assert_eq!(open("<u8", &[5, large].map(u64::to_le_bytes).concat(), 2).unwrap(), [5, large]);
        assert_eq!(open(">u8", &big(&[5, large]), 2).unwrap(), [5, large]);
        assert_eq!(
            open("<u4", &[5, u32::MAX].map(u32::to_le_bytes).concat(), 2).unwrap(),
            [5, u32::MAX.into()]
        );
        assert_eq!(
            open("<i4", &[5, i32::MAX].map(i32::to_le_bytes).concat(), 2).unwrap(),
            [5, i32::MAX as u64]
        );
        assert_eq!(open(">i4", &[0, 0, 0, 5, 0, 0, 0, 6], 2).unwrap(), [5, 6]);
        // It has the bits of -1, by which clients tell that an answer is missing.
        let marked = open("<u8", &[5, u64::MAX].map(u64::to_le_bytes).concat(), 2).unwrap_err();
        assert!(format!("{marked:?}").contains("found: 18446744073709551615"), "{marked:?}");
        for refused in [
            open("<i4", &[5, -6].map(i32::to_le_bytes).concat(), 2),
            open("<i8", &[5, -6].map(i64::to_le_bytes).concat(), 2),
            open(">i8", &big(&[5, -6_i64 as u64]), 2),
        ] {
            let Err(SourceError::Read { source, .. }) = refused else { panic!("{refused:?}") };
            assert!(source.to_string().contains("row 1 at offset"), "{source}");
            assert!(source.to_string().ends_with("found -6"), "{source}");
        }
    }

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
