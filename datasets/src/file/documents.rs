//! Files of offsets: which rows of a file of vectors belong to which document.
#![deny(clippy::indexing_slicing)]
use std::io::Write;
use std::path::{Path, PathBuf};

use spandrel_index::SourceError;
use spandrel_index::documents::{DocumentOffsets, DocumentOffsetsError};

use super::{FileError, Format, IdFile, OutputFile};

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
        /// File of the offsets.
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

/// A file of offsets being written, an ibin. Dropped before [`OffsetsWriter::finish`], it leaves nothing behind.
#[derive(Debug)]
pub(crate) struct OffsetsWriter {
    path: PathBuf,
    out: OutputFile,
    /// Offsets written.
    count: u32,
    /// Where the next document begins.
    next: u32,
}

impl OffsetsWriter {
    /// Bytes of the header: how many offsets, each in a row of one.
    const HEADER_BYTES: usize = 8;

    pub(crate) fn create(path: &Path) -> Result<OffsetsWriter, FileError> {
        let format = Format::of(path)?;
        if format != Format::Ibin {
            let (path, wanted) = (path.to_owned(), "offsets of documents".to_owned());
            return Err(FileError::Kind { path, format, wanted, instead: "ibin" });
        }
        let mut out = OutputFile::create(path, OffsetsWriter::HEADER_BYTES)?;
        out.write_all(&0_u32.to_le_bytes())?;
        Ok(OffsetsWriter { path: path.to_owned(), out, count: 1, next: 0 })
    }

    /// Appends a document of `rows` rows, 1 or more.
    ///
    /// # Errors
    /// More rows, or documents, than 32 bits count.
    pub(crate) fn push(&mut self, rows: u32) -> Result<(), DocumentFileError> {
        let next = self.next.checked_add(rows);
        let Some((next, count)) = next.zip(self.count.checked_add(1)) else {
            let rows = u64::from(self.next) + u64::from(rows);
            let source = DocumentOffsetsError::TooMany { rows };
            return Err(DocumentFileError::Offsets { path: self.path.clone(), source });
        };
        (self.next, self.count) = (next, count);
        Ok(self.out.write_all(&next.to_le_bytes()).map_err(FileError::from)?)
    }

    /// Makes the file durable and moves it to its name.
    pub(crate) fn finish(self) -> Result<(), FileError> {
        Ok(self.out.finish(&[self.count, 1].map(u32::to_le_bytes).concat())?)
    }
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

    #[test]
    fn offsets_that_are_written_are_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("documents.ibin");
        let mut writer = OffsetsWriter::create(&path).unwrap();
        [2, 1, 4].into_iter().for_each(|rows| writer.push(rows).unwrap());
        writer.finish().unwrap();
        assert_eq!(read_documents(&path, 7).unwrap().offsets(), [0, 2, 3, 7]);
        let mut writer = OffsetsWriter::create(&path).unwrap();
        writer.push(u32::MAX).unwrap();
        let error = writer.push(1).unwrap_err().to_string();
        assert!(error.contains("documents of 4294967296 vectors in all"), "{error}");
        drop(writer);
        assert_eq!(read_documents(&path, 7).unwrap().documents(), 3, "the older file stays");
    }
}
