//! The caller's numbers for vectors, from a file.
#![deny(clippy::indexing_slicing)]
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use fs_err::File;
use spandrel_builder::IdSource;
use spandrel_datasets::{Contents, contents};
use spandrel_index::SourceError;

use crate::Advised;

/// Bytes before the first id: two counts.
const BODY_AT: u64 = 8;
/// Bytes of an id.
const ID_BYTES: usize = 4;
/// Ids read at a time.
const PIECE: usize = 1 << 14;

/// An ibin file with one id in each row, read where it is asked for.
#[derive(Debug)]
pub(super) struct IdFile {
    path: PathBuf,
    file: File,
    rows: u64,
}

impl IdFile {
    /// Opens a file and checks its header against its length.
    pub(super) fn open(path: &Path) -> anyhow::Result<IdFile> {
        let help = "give an .ibin file with one id in each row, as many rows as there are vectors";
        let found = contents(path)?;
        let is_ibin = path.extension().is_some_and(|e| e.eq_ignore_ascii_case("ibin"));
        match found {
            Contents::Ids { rows, k: 1, distances: false } if is_ibin => {
                Ok(IdFile { path: path.to_owned(), file: File::open(path)?, rows })
            }
            Contents::Ids { k, .. } => {
                let message = format!("{}: {k} ids in each row, expected 1 and no distances", path.display());
                Err(Advised::new(message, help).into())
            }
            Contents::Vectors { .. } => {
                Err(Advised::new(format!("{}: a file of vectors, expected ids", path.display()), help).into())
            }
        }
    }
}

impl IdSource for IdFile {
    fn len(&self) -> u64 {
        self.rows
    }

    fn read_ids(&self, first: u64, out: &mut [u64]) -> Result<(), SourceError> {
        let end = first.saturating_add(out.len() as u64); // CAST: usize is 64 bits here
        if end > self.rows {
            let name = self.path.display().to_string();
            return Err(SourceError::Range { name, first, end, len: self.rows });
        }
        let mut bytes = vec![0; out.len().min(PIECE) * ID_BYTES];
        let mut offset = BODY_AT + first * ID_BYTES as u64; // CAST: 4
        for piece in out.chunks_mut(PIECE) {
            let bytes = bytes.get_mut(..piece.len() * ID_BYTES).unwrap_or_default();
            self.file.file().read_exact_at(bytes, offset).map_err(|source| SourceError::Read {
                path: self.path.clone(),
                offset,
                bytes: bytes.len(),
                source,
            })?;
            for (id, raw) in piece.iter_mut().zip(bytes.as_chunks::<ID_BYTES>().0) {
                *id = u64::from(u32::from_le_bytes(*raw));
            }
            offset += bytes.len() as u64; // CAST: usize is 64 bits here
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use spandrel_datasets::Truth;

    #[test]
    fn ids_are_read_anywhere() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ids.ibin");
        let count = PIECE * 2 + 5;
        let ids: Vec<u32> = (0..count as u32).map(|i| i * 7).collect();
        Truth { queries: count, k: 1, ids, distances: None }.write(&path).unwrap();
        let file = IdFile::open(&path).unwrap();
        assert_eq!(file.len(), count as u64);
        let mut out = vec![0; count - 3];
        file.read_ids(3, &mut out).unwrap();
        assert!(out.iter().zip(3_u64..).all(|(&id, row)| id == row * 7));
        assert!(matches!(file.read_ids(4, &mut out), Err(SourceError::Range { .. })));
    }

    #[test]
    fn other_files_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ids.ibin");
        Truth { queries: 2, k: 2, ids: vec![1, 2, 3, 4], distances: None }.write(&path).unwrap();
        assert!(IdFile::open(&path).unwrap_err().to_string().contains("2 ids in each row"));
        assert!(IdFile::open(Path::new("/no/such.ibin")).is_err());
    }
}
