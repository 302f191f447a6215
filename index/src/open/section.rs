//! One section file, checked against the manifest and read once from front to back.
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use fs_err::File;
use fs_err::os::unix::fs::FileExt;
use xxhash_rust::xxh3::Xxh3;

use crate::codes::CodeSpec;
use crate::format::{
    BODY_AT, CodedLayout, FullLayout, Header, ID_PAGE_BYTES, IdBytes, IdPages, ListLayout, Manifest,
    OpenError, PageLayout, SectionEntry, SectionKind, SegmentEntry, UNIT_BYTES, hash_hex, manifest_name,
};
use crate::{DIM_MAX, DType, HeadSpace, Metric};

/// Bytes taken from a file at once.
pub(crate) const PIECE_BYTES: usize = 1 << 20;

/// Everything a manifest says, in the types that the rest of the crate works with.
#[derive(Debug, Clone)]
pub(crate) struct Shape {
    pub(crate) metric: Metric,
    pub(crate) dtype: DType,
    pub(crate) dim: usize,
    pub(crate) space: HeadSpace,
    pub(crate) uuid: u128,
    pub(crate) vectors: u64,
    pub(crate) lists: u64,
    pub(crate) code: CodeSpec,
    pub(crate) lists_layout: ListLayout,
    pub(crate) pages: PageLayout,
    pub(crate) ids: IdPages,
}

impl Shape {
    pub(crate) fn of(dir: &Path, manifest: &Manifest) -> Result<Shape, OpenError> {
        let path = dir.join(manifest_name(manifest.version));
        let metric =
            manifest.metric().map_err(|e| OpenError::field(&path, "metric", e.0, "l2, ip or cosine"))?;
        let dtype =
            manifest.dtype().map_err(|e| OpenError::field(&path, "dtype", e.0, "f32, f16, i8 or u8"))?;
        let space = manifest.head_space;
        let fits = match space {
            HeadSpace::Same => metric == Metric::L2,
            HeadSpace::Normalised => metric == Metric::Cosine,
            HeadSpace::Lifted { norm_max } => {
                metric == Metric::InnerProduct && norm_max.is_finite() && norm_max >= 0.0
            }
        };
        if !fits {
            let expected = format!("the space of {metric}");
            return Err(OpenError::field(&path, "head_space", format!("{space:?}"), expected));
        }
        if space.dim(manifest.dim) > DIM_MAX {
            let expected = format!("at most {} for {metric}", DIM_MAX - 1);
            return Err(OpenError::field(&path, "dim", manifest.dim, expected));
        }
        let id_bytes = if manifest.id_bytes == 4 { IdBytes::Four } else { IdBytes::Eight };
        let (uuid, row_bytes) = (manifest.uuid(), dtype.row_bytes(manifest.dim));
        let segment = only_segment(&path, manifest)?;
        let code = manifest.code().map_err(|e| OpenError::field(&path, "code", e.0, "a code family"))?;
        let lists_layout = match code {
            CodeSpec::Full => ListLayout::Full(FullLayout::new(row_bytes, metric, id_bytes)),
            _ => ListLayout::Coded(CodedLayout::of(code, manifest.dim)),
        };
        Ok(Shape {
            metric,
            dtype,
            dim: manifest.dim,
            space,
            uuid,
            vectors: segment.vectors,
            lists: segment.lists,
            code,
            lists_layout,
            pages: PageLayout::new(row_bytes, metric, id_bytes),
            ids: IdPages { id_bytes, uuid },
        })
    }

    /// Refuses a header that contradicts the manifest.
    fn check(&self, path: &Path, header: &Header) -> Result<(), OpenError> {
        let differs = |field: &str, found: String, expected: String| {
            if found == expected { Ok(()) } else { Err(OpenError::field(path, field, found, expected)) }
        };
        differs("uuid", hash_hex(header.uuid), hash_hex(self.uuid))?;
        differs("metric", header.metric.to_string(), self.metric.to_string())?;
        let rows = match header.kind {
            SectionKind::Heads => Some((self.space.dtype(self.dtype), self.space.dim(self.dim))),
            SectionKind::Codes | SectionKind::Vectors => Some((self.dtype, self.dim)),
            // These hold no rows.
            SectionKind::Graph | SectionKind::Directory | SectionKind::Ids | SectionKind::Model => None,
        };
        if let Some((dtype, dim)) = rows {
            differs("dtype", header.dtype.to_string(), dtype.to_string())?;
            differs("dim", header.dim.to_string(), dim.to_string())?;
        }
        let family = match header.kind {
            SectionKind::Codes | SectionKind::Model => self.code.family(),
            _ => 0,
        };
        differs("family", header.family.to_string(), family.to_string())?;
        let unit_bytes = match header.kind {
            SectionKind::Codes => UNIT_BYTES,
            SectionKind::Vectors => self.pages.page_bytes(),
            SectionKind::Ids => ID_PAGE_BYTES,
            SectionKind::Heads | SectionKind::Graph | SectionKind::Directory | SectionKind::Model => 0,
        };
        differs("unit_bytes", header.unit_bytes.to_string(), unit_bytes.to_string())?;
        let count = match header.kind {
            SectionKind::Vectors | SectionKind::Ids | SectionKind::Model => self.vectors,
            _ => self.lists,
        };
        differs("count", header.count.to_string(), count.to_string())?;
        let body_bytes = match header.kind {
            SectionKind::Heads => {
                let row_bytes = self.space.dtype(self.dtype).row_bytes(self.space.dim(self.dim));
                Some(self.lists * row_bytes as u64)
            }
            SectionKind::Vectors => Some(self.pages.pages(self.vectors) * self.pages.page_bytes() as u64),
            SectionKind::Ids => Some(self.ids.body_bytes(self.vectors)),
            // Checked entry by entry where they are read.
            SectionKind::Graph | SectionKind::Directory | SectionKind::Codes | SectionKind::Model => None,
        };
        match body_bytes {
            Some(bytes) => differs("body_bytes", header.body_bytes.to_string(), bytes.to_string()),
            None => Ok(()),
        }
    }
}

/// The manifest's one segment.
pub(crate) fn only_segment<'a>(path: &Path, manifest: &'a Manifest) -> Result<&'a SegmentEntry, OpenError> {
    match manifest.segments.as_slice() {
        [segment] => Ok(segment),
        other => Err(OpenError::field(path, "segments", other.len(), 1)),
    }
}

/// Never set: of readers that nobody stops.
pub(crate) static UNSTOPPED: AtomicBool = AtomicBool::new(false);

/// A section file whose length and header agree with the manifest, positioned at its body.
pub(crate) struct SectionReader<'a> {
    file: Arc<File>,
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
    /// Opens the file of `entry` and checks its length and header.
    pub(crate) fn open(
        dir: &Path,
        entry: &SectionEntry,
        kind: SectionKind,
        shape: &Shape,
        stop: &'a AtomicBool,
    ) -> Result<SectionReader<'a>, OpenError> {
        let path = dir.join(&entry.file);
        let file = Arc::new(File::open(&path).map_err(|e| OpenError::read(&path, e))?);
        SectionReader::of(file, path, entry, kind, shape, stop)
    }

    /// As [`SectionReader::open`], of a file that is open.
    pub(crate) fn of(
        file: Arc<File>,
        path: PathBuf,
        entry: &SectionEntry,
        kind: SectionKind,
        shape: &Shape,
        stop: &'a AtomicBool,
    ) -> Result<SectionReader<'a>, OpenError> {
        let found = file.metadata().map_err(|e| OpenError::read(&path, e))?.len();
        if found != entry.bytes || found < BODY_AT {
            let expected = entry.bytes.max(BODY_AT);
            return Err(OpenError::Length { path, found, expected });
        }
        let mut start = [0; BODY_AT as usize]; // CAST: a constant
        file.read_exact_at(&mut start, 0).map_err(|e| OpenError::read(&path, e))?;
        let header = Header::parse(&path, &start, found, kind)?;
        shape.check(&path, &header)?;
        let body_bytes = header.body_bytes;
        let hasher = Xxh3::new();
        let (hash, at) = (entry.hash(), BODY_AT);
        Ok(SectionReader { file, path, at, hasher, hash, body_bytes, left: body_bytes, stop })
    }

    /// The open file.
    pub(crate) fn file(&self) -> &Arc<File> {
        &self.file
    }

    /// The file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
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
            self.file.read_exact_at(piece, self.at).map_err(|e| OpenError::read(&self.path, e))?;
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
