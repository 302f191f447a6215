//! One section file, checked against the manifest and read once from front to back.
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use spandrel_io::Blob;
use xxhash_rust::xxh3::Xxh3;

use super::shape::SegmentShape;
use crate::format::{BODY_AT, Header, OpenError, SectionEntry, SectionKind, hash_hex};

/// Bytes taken from a file at once.
pub(crate) const PIECE_BYTES: usize = 1 << 20;

/// Never set: of readers that nobody stops.
pub(crate) static UNSTOPPED: AtomicBool = AtomicBool::new(false);

/// A section file whose length and header agree with the manifest, positioned at its body.
pub(crate) struct SectionReader<'a> {
    blob: Arc<dyn Blob>,
    path: PathBuf,
    /// Where the next bytes are.
    at: u64,
    hasher: Xxh3,
    hash: u128,
    body_bytes: u64,
    left: u64,
    /// Looked at before each piece.
    stop: &'a AtomicBool,
}

impl<'a> SectionReader<'a> {
    /// The open file of `entry`, its length and header checked.
    pub(crate) fn of(
        blob: Arc<dyn Blob>,
        entry: &SectionEntry,
        kind: SectionKind,
        shape: &SegmentShape,
        stop: &'a AtomicBool,
    ) -> Result<SectionReader<'a>, OpenError> {
        let (path, found) = (blob.path().to_owned(), blob.len());
        if found != entry.bytes || found < BODY_AT {
            let expected = entry.bytes.max(BODY_AT);
            return Err(OpenError::Length { path, found, expected });
        }
        let mut start = [0; BODY_AT as usize]; // CAST: a constant
        blob.read_into(0, &mut start).map_err(|e| OpenError::blob(&path, e))?;
        let header = Header::parse(&path, &start, found, kind)?;
        shape.check(&path, &header)?;
        let body_bytes = header.body_bytes;
        let hasher = Xxh3::new();
        let (hash, at) = (entry.hash(), BODY_AT);
        Ok(SectionReader { blob, path, at, hasher, hash, body_bytes, left: body_bytes, stop })
    }

    /// The open file.
    pub(crate) fn blob(&self) -> &Arc<dyn Blob> {
        &self.blob
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes of the file.
    pub(crate) fn file_bytes(&self) -> u64 {
        BODY_AT + self.body_bytes
    }

    /// Bytes of the body.
    pub(crate) fn body_bytes(&self) -> u64 {
        self.body_bytes
    }

    /// Bytes of the body not yet read.
    pub(crate) fn left(&self) -> u64 {
        self.left
    }

    /// Fills `out` with the next bytes of the body.
    pub(crate) fn read(&mut self, out: &mut [u8]) -> Result<(), OpenError> {
        for piece in out.chunks_mut(PIECE_BYTES) {
            if self.stop.load(Ordering::Relaxed) {
                return Err(OpenError::Stopped { path: self.path.clone() });
            }
            if piece.len() as u64 > self.left {
                let source = io::Error::from(io::ErrorKind::UnexpectedEof);
                return Err(OpenError::read(&self.path, source));
            }
            self.blob.read_into(self.at, piece).map_err(|e| OpenError::blob(&self.path, e))?;
            self.at += piece.len() as u64;
            // While the piece is still in the processor's cache.
            self.hasher.update(piece);
            self.left -= piece.len() as u64;
        }
        Ok(())
    }

    /// The rest of the body. Its length was checked against the file's.
    pub(crate) fn read_all(&mut self) -> Result<Vec<u8>, OpenError> {
        let Ok(bytes) = usize::try_from(self.left) else {
            return Err(OpenError::read(&self.path, io::Error::from(io::ErrorKind::OutOfMemory)));
        };
        let mut body = vec![0; bytes];
        self.read(&mut body)?;
        Ok(body)
    }

    /// After the last byte: whether the body is, byte for byte, the one that was published.
    pub(crate) fn finish(self) -> Result<(), OpenError> {
        assert_eq!(self.left, 0, "{}: the body was not read to its end", self.path.display());
        let found = self.hasher.digest128();
        if found == self.hash {
            return Ok(());
        }
        Err(OpenError::Checksum {
            path: self.path,
            what: "body".into(),
            found: hash_hex(found),
            expected: hash_hex(self.hash),
        })
    }
}
