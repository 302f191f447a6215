//! First bytes of every section file.
//!
//! ```text
//!  0  8 magic 8F 'SPL' CR LF 1A LF     20  4 unit_bytes  page of vectors and ids, 512 in codes, else 0
//!  8  2 major   refuse any other       24  8 count       heads, lists, vectors or ids
//! 10  2 minor   accept <= ours         32 16 uuid        of the index, so files cannot be mixed
//! 12  1 kind    SectionKind::code      48  8 body_bytes  from BODY_AT to the file's end
//! 13  1 dtype   DType::code            56  8 hash        xxh3-64 of 0..56
//! 14  1 metric  Metric::code
//! 15  1 family  of codes and model: 1 full, 2 planes,      64 ..4096 zero
//!               3 products, 4 recurrent; 0 elsewhere
//! 16  4 dim
//! ```
//! The header is written last, when the body's size is known, so a section's hash in the manifest covers the
//! body alone.
use std::path::Path;

use xxhash_rust::xxh3::xxh3_64;

use super::{MAJOR, MINOR, OpenError};
use crate::{DIM_MAX, DType, Metric};

/// Bytes that carry the header.
pub const HEADER_BYTES: usize = 64;
/// Where a section's body starts, so that its pages keep their alignment.
pub const BODY_AT: u64 = 4096;

const MAGIC: [u8; 8] = *b"\x8FSPL\r\n\x1A\n";
const HASH_AT: usize = HEADER_BYTES - size_of::<u64>();

/// What a section file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum SectionKind {
    /// Centres of the lists, as rows.
    Heads = 1,
    /// HNSW over the heads.
    Graph = 2,
    /// Where each list lies.
    Directory = 3,
    /// Lists, of codes or of exact vectors.
    Codes = 4,
    /// Every vector once, in position order.
    Vectors = 5,
    /// Sorted pairs of id and position.
    Ids = 6,
    /// What a code family learned; indexes of exact lists have none.
    Model = 7,
    /// What recall queries are to expect, by what they spend; of the whole index.
    Recall = 8,
    /// What is known of the vectors in one attribute: values and their positions.
    Attributes = 9,
    /// Which vectors are one document.
    Documents = 10,
}

impl SectionKind {
    /// Every kind.
    pub const ALL: [SectionKind; 10] = [
        SectionKind::Heads,
        SectionKind::Graph,
        SectionKind::Directory,
        SectionKind::Codes,
        SectionKind::Vectors,
        SectionKind::Ids,
        SectionKind::Model,
        SectionKind::Recall,
        SectionKind::Attributes,
        SectionKind::Documents,
    ];

    /// What a segment has none of when it shares the heads of another.
    pub(super) const SHARED: [SectionKind; 3] = [SectionKind::Heads, SectionKind::Graph, SectionKind::Model];

    /// The stable number stored in headers.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The name used in manifests and file names.
    pub const fn name(self) -> &'static str {
        match self {
            SectionKind::Heads => "heads",
            SectionKind::Graph => "graph",
            SectionKind::Directory => "directory",
            SectionKind::Codes => "codes",
            SectionKind::Vectors => "vectors",
            SectionKind::Ids => "ids",
            SectionKind::Model => "model",
            SectionKind::Recall => "recall",
            SectionKind::Attributes => "attributes",
            SectionKind::Documents => "documents",
        }
    }
}

/// A section file's header, every field checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// What the file holds.
    pub kind: SectionKind,
    /// Element type of its rows.
    pub dtype: DType,
    /// The index's metric.
    pub metric: Metric,
    /// Code family of a codes or model section, 0 elsewhere.
    pub family: u8,
    /// Elements in a row.
    pub dim: u32,
    /// Bytes of a page, or 0.
    pub unit_bytes: u32,
    /// Rows, lists or entries.
    pub count: u64,
    /// The index this file belongs to.
    pub uuid: u128,
    /// Bytes of the body.
    pub body_bytes: u64,
}

impl Header {
    /// The header as stored, padded with zeros to [`BODY_AT`].
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(BODY_AT as usize); // CAST: a constant
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&MAJOR.to_le_bytes());
        out.extend_from_slice(&MINOR.to_le_bytes());
        out.extend_from_slice(&[self.kind.code(), self.dtype.code(), self.metric.code(), self.family]);
        out.extend_from_slice(&self.dim.to_le_bytes());
        out.extend_from_slice(&self.unit_bytes.to_le_bytes());
        out.extend_from_slice(&self.count.to_le_bytes());
        out.extend_from_slice(&self.uuid.to_le_bytes());
        out.extend_from_slice(&self.body_bytes.to_le_bytes());
        debug_assert_eq!(out.len(), HASH_AT);
        out.extend_from_slice(&xxh3_64(&out).to_le_bytes());
        out.resize(BODY_AT as usize, 0); // CAST: a constant
        out
    }

    /// Reads a header and believes it only after magic, version, hash and every range were checked.
    ///
    /// `bytes` are the file's first [`BODY_AT`].
    ///
    /// # Errors
    /// [`OpenError::NotOurs`], [`OpenError::Version`], [`OpenError::Checksum`], [`OpenError::Field`] or, when
    /// `file_bytes` does not agree, [`OpenError::Length`].
    pub(crate) fn parse(
        path: &Path,
        bytes: &[u8],
        file_bytes: u64,
        expected: SectionKind,
    ) -> Result<Header, OpenError> {
        let too_short = || OpenError::Length { path: path.to_owned(), found: file_bytes, expected: BODY_AT };
        let (raw, padding) = bytes.split_first_chunk::<HEADER_BYTES>().ok_or_else(too_short)?;
        if bytes.len() as u64 != BODY_AT {
            return Err(too_short());
        }
        let mut fields = Fields(raw);
        let magic = fields.take::<8>();
        if magic != MAGIC {
            return Err(OpenError::NotOurs {
                path: path.to_owned(),
                expected: expected.name(),
                found: magic.to_vec(),
            });
        }
        let (major, minor) = (u16::from_le_bytes(fields.take()), u16::from_le_bytes(fields.take()));
        if major != MAJOR || minor > MINOR {
            return Err(OpenError::Version { path: path.to_owned(), major, minor });
        }
        let (hashed, stored) = raw.split_at(HASH_AT);
        let found = xxh3_64(hashed);
        let stored = u64::from_le_bytes(stored.try_into().unwrap_or_default());
        if found != stored {
            return Err(OpenError::Checksum {
                path: path.to_owned(),
                what: "header".into(),
                found: format!("{found:016x}"),
                expected: format!("{stored:016x}"),
            });
        }
        if let Some(byte) = padding.iter().find(|&&byte| byte != 0) {
            return Err(OpenError::field(path, "padding after the header", byte, 0));
        }
        let [kind, dtype, metric, family] = fields.take();
        if kind != expected.code() {
            return Err(OpenError::field(path, "section kind", kind, expected.code()));
        }
        let header = Header {
            kind: expected,
            dtype: DType::from_code(dtype)
                .map_err(|_| OpenError::field(path, "dtype", dtype, "a code from 1 to 4"))?,
            metric: Metric::from_code(metric)
                .map_err(|_| OpenError::field(path, "metric", metric, "a code from 1 to 3"))?,
            family,
            dim: u32::from_le_bytes(fields.take()),
            unit_bytes: u32::from_le_bytes(fields.take()),
            count: u64::from_le_bytes(fields.take()),
            uuid: u128::from_le_bytes(fields.take()),
            body_bytes: u64::from_le_bytes(fields.take()),
        };
        // Heads of lifted inner product have one dimension more than the vectors.
        if header.dim == 0 || header.dim as usize > DIM_MAX + 1 {
            return Err(OpenError::field(path, "dim", header.dim, format!("1 to {DIM_MAX}")));
        }
        if header.count > u64::from(u32::MAX) {
            return Err(OpenError::field(path, "count", header.count, format!("at most {}", u32::MAX)));
        }
        if header.body_bytes.checked_add(BODY_AT) != Some(file_bytes) {
            let expected = header.body_bytes.saturating_add(BODY_AT);
            return Err(OpenError::Length { path: path.to_owned(), found: file_bytes, expected });
        }
        Ok(header)
    }
}

/// Takes fixed-width fields off a header in order.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        match self.0.split_first_chunk::<N>() {
            Some((field, rest)) => {
                self.0 = rest;
                *field
            }
            None => unreachable!("the fields add up to the header"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Header {
        Header {
            kind: SectionKind::Vectors,
            dtype: DType::U8,
            metric: Metric::L2,
            family: 0,
            dim: 128,
            unit_bytes: 4096,
            count: 10,
            uuid: 7,
            body_bytes: 4096,
        }
    }

    #[test]
    fn round_trips() {
        let bytes = header().to_bytes();
        assert_eq!(bytes.len() as u64, BODY_AT);
        let read = Header::parse(Path::new("f"), &bytes, 8192, SectionKind::Vectors).unwrap();
        assert_eq!(read, header());
    }

    #[test]
    fn every_flipped_byte_is_refused() {
        let good = header().to_bytes();
        for at in 0..good.len() {
            let mut bytes = good.clone();
            bytes[at] ^= 1;
            let error = Header::parse(Path::new("f"), &bytes, 8192, SectionKind::Vectors).unwrap_err();
            match at {
                0..8 => assert!(matches!(error, OpenError::NotOurs { .. }), "{at}: {error}"),
                8..12 => assert!(matches!(error, OpenError::Version { .. }), "{at}: {error}"),
                12..64 => assert!(matches!(error, OpenError::Checksum { .. }), "{at}: {error}"),
                _ => assert!(matches!(error, OpenError::Field { .. }), "{at}: {error}"),
            }
        }
    }

    #[test]
    fn wrong_kind_and_length_are_refused() {
        let bytes = header().to_bytes();
        let kind = Header::parse(Path::new("f"), &bytes, 8192, SectionKind::Ids).unwrap_err();
        assert!(matches!(kind, OpenError::Field { .. }));
        let length = Header::parse(Path::new("f"), &bytes, 8191, SectionKind::Vectors).unwrap_err();
        assert!(matches!(length, OpenError::Length { found: 8191, expected: 8192, .. }));
        let short = Header::parse(Path::new("f"), &bytes[..10], 10, SectionKind::Vectors).unwrap_err();
        assert!(matches!(short, OpenError::Length { .. }));
    }
}
