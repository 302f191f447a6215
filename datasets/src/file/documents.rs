//! Files of offsets: which rows of a file of vectors belong to which document.
#![deny(clippy::indexing_slicing)]
use std::path::{Path, PathBuf};

use spandrel_index::SourceError;
use spandrel_index::documents::{DocumentOffsets, DocumentOffsetsError};

use super::{FileError, IdFile};

/// Why a file of offsets was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DocumentFileError {
    /// It is no file of numbers.
    #[error(transparent)]
    File(#[from] FileError),
    /// It could not be read, or holds negative numbers.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// Its numbers are not offsets of documents of these vectors.
    #[error("{path}: {source}", path = path.display())]
    Offsets {
        /// The file.
        path: PathBuf,
        /// What is wrong with them.
        source: DocumentOffsetsError,
    },
}

/// Reads the offsets of documents that cover `rows` rows: ibin or npy with one number in each row, one for each document and one more.
///
/// # Errors
/// [`DocumentFileError`]: another file, offsets that do not ascend from 0 to `rows`.
pub fn read_documents(path: impl AsRef<Path>, rows: u64) -> Result<DocumentOffsets, DocumentFileError> {
    let path = path.as_ref();
    let offsets = IdFile::open(path)?.read_all()?;
    DocumentOffsets::new(&offsets, rows)
        .map_err(|source| DocumentFileError::Offsets { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_are_read_from_both_formats_and_checked() {
        let dir = tempfile::tempdir().unwrap();
        let ibin = dir.path().join("documents.ibin");
        std::fs::write(&ibin, [4_u32, 1, 0, 2, 3, 7].map(u32::to_le_bytes).concat()).unwrap();
        let npy = dir.path().join("documents.npy");
        let values = [0_i64, 2, 3, 7].map(i64::to_le_bytes).concat();
        std::fs::write(&npy, [super::super::npy::write("<i8", 4, 1), values].concat()).unwrap();
        for path in [&ibin, &npy] {
            assert_eq!(read_documents(path, 7).unwrap().offsets(), [0, 2, 3, 7]);
            let error = read_documents(path, 8).unwrap_err();
            assert!(matches!(error, DocumentFileError::Offsets { .. }), "{error:?}");
            let (message, name) = (error.to_string(), path.display().to_string());
            assert!(
                message.starts_with(&name) && message.contains("last offset is 7, expected 8"),
                "{message}"
            );
        }
        std::fs::write(&ibin, [2_u32, 2, 0, 2, 3, 7].map(u32::to_le_bytes).concat()).unwrap();
        assert!(matches!(read_documents(&ibin, 7), Err(DocumentFileError::File(FileError::Kind { .. }))));
    }
}
