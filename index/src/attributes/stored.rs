//! The section of an attribute, open: dictionary and places in memory, the rest on SSD unless it was built to be resident.
use std::borrow::Cow;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use spandrel_io::Blob;

use super::cache::PostingCache;
use super::dictionary::{Dictionary, Held, Shape};
use super::foot::{FOOT_BYTES, Foot};
use super::forward::Blocks;
use super::frames::Frames;
use super::malformed::Malformed;
use super::seal::Part;
use super::writer::AttributeSpec;
use crate::format::{BODY_AT, OpenError};
use crate::open::section::SectionReader;

/// Bytes that are read at once where several pieces lie close together.
pub(super) const READ_BYTES: u64 = 1 << 20;

/// What is known of an attribute in one segment.
#[derive(Debug)]
pub struct StoredAttribute {
    pub(super) spec: AttributeSpec,
    pub(super) segment: u16,
    /// Positions of the segment.
    pub(super) positions: u32,
    path: PathBuf,
    body: Body,
    pub(super) body_bytes: u64,
    pub(super) foot: Foot,
    pub(super) content: Content,
    pub(super) cache: Arc<PostingCache>,
}

/// Where the body is.
#[derive(Debug)]
enum Body {
    Memory(Vec<u8>),
    Ssd(Arc<dyn Blob>),
}

/// What is in memory in any case.
#[derive(Debug)]
pub(super) enum Content {
    Values { dictionary: Dictionary, blocks: Blocks },
    Numbers(Frames),
}

/// What a section is opened as.
pub(crate) struct Opened {
    pub(crate) spec: AttributeSpec,
    /// Number of its segment.
    pub(crate) segment: u16,
    pub(crate) positions: u32,
    /// Whether the whole body is kept in memory.
    pub(crate) resident: bool,
    pub(crate) cache: Arc<PostingCache>,
}

/// A value of an attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValueCount {
    /// A keyword or tag, `true` or `false`.
    pub value: String,
    /// Positions that have it.
    pub positions: u32,
}

impl StoredAttribute {
    /// Opens a section whose header was checked.
    pub(crate) fn open(mut section: SectionReader<'_>, opened: Opened) -> Result<StoredAttribute, OpenError> {
        let Opened { spec, segment, positions, resident, cache } = opened;
        let (path, body_bytes) = (section.path().to_owned(), section.body_bytes());
        let blob = Arc::clone(section.blob());
        let body = if resident {
            let body = section.read_all()?;
            section.finish()?;
            Body::Memory(body)
        } else {
            Body::Ssd(blob)
        };
        let none = Foot {
            values: 0,
            pairs: 0,
            nulls: 0,
            blocks_at: 0,
            nulls_at: 0,
            places_at: 0,
            dictionary_at: body_bytes,
        };
        let mut attribute = StoredAttribute {
            spec,
            segment,
            positions,
            path,
            body,
            body_bytes,
            foot: none,
            content: Content::Numbers(Frames::default()),
            cache,
        };
        attribute.foot = attribute.read_foot()?;
        attribute.content = attribute.read_content()?;
        Ok(attribute)
    }

    fn read_foot(&self) -> Result<Foot, OpenError> {
        let Some(at) = self.body_bytes.checked_sub(FOOT_BYTES as u64) else {
            return Err(OpenError::field(
                &self.path,
                "body",
                self.body_bytes,
                format!("{FOOT_BYTES} bytes or more"),
            ));
        };
        let foot = self.piece(Part::Foot, 0, at..self.body_bytes)?;
        Foot::read(&foot, self.spec.kind, u64::from(self.positions), self.body_bytes)
            .map_err(|malformed| self.malformed("foot", malformed))
    }

    fn read_content(&self) -> Result<Content, OpenError> {
        let foot = &self.foot;
        let places = self.piece(Part::Places, 0, foot.places())?;
        let end = self.body_bytes - FOOT_BYTES as u64;
        let entries = self.piece(Part::Dictionary, 0, foot.dictionary_at..end)?.into_owned();
        let shape = Shape {
            values: foot.values as u32, // CAST: `Foot::read` refuses 2^32 and more
            pairs: if self.spec.arity().is_some() { foot.pairs } else { 0 },
            posting_bytes: foot.blocks_at,
            positions: u64::from(self.positions),
        };
        let dictionary =
            Dictionary::read(entries, shape).map_err(|malformed| self.malformed("dictionary", malformed))?;
        let (positions, block_bytes) = (self.positions as usize, foot.block_bytes());
        let content = match self.spec.arity() {
            Some(_) => Blocks::read(&places, positions, block_bytes)
                .map(|blocks| Content::Values { dictionary, blocks }),
            None if foot.values > 0 => {
                Err(Malformed::new(format!("{} values", foot.values), "none of numbers"))
            }
            None => Frames::read(&places, positions, block_bytes).map(Content::Numbers),
        };
        content.map_err(|malformed| self.malformed("places", malformed))
    }

    /// Distinct values; 0 of numbers, which have no dictionary.
    pub fn values(&self) -> u32 {
        self.dictionary().map_or(0, Dictionary::values)
    }

    /// Values of all positions.
    pub fn pairs(&self) -> u64 {
        self.foot.pairs
    }

    /// Positions without a value.
    pub fn null_count(&self) -> u64 {
        self.foot.nulls
    }

    /// Bytes of the file.
    pub fn file_bytes(&self) -> u64 {
        BODY_AT + self.body_bytes
    }

    /// Bytes of the postings, sums included.
    pub fn posting_bytes(&self) -> u64 {
        self.foot.blocks_at
    }

    /// Whether the whole body is in memory.
    pub fn is_resident(&self) -> bool {
        matches!(self.body, Body::Memory(_))
    }

    /// The body, where it is in memory.
    pub(super) fn memory(&self) -> Option<&[u8]> {
        match &self.body {
            Body::Memory(body) => Some(body),
            Body::Ssd(_) => None,
        }
    }

    /// The file, unless its whole body is in memory.
    pub fn blob(&self) -> Option<&Arc<dyn Blob>> {
        match &self.body {
            Body::Memory(_) => None,
            Body::Ssd(blob) => Some(blob),
        }
    }

    /// Bytes of memory, the cache of postings apart.
    pub fn memory_bytes(&self) -> usize {
        let body = self.memory().map_or(0, <[u8]>::len);
        body + match &self.content {
            Content::Values { dictionary, blocks } => dictionary.memory_bytes() + blocks.memory_bytes(),
            Content::Numbers(frames) => frames.memory_bytes(),
        }
    }

    /// The values that most positions have, at most `count`, the most frequent first; of equals the smaller value first.
    pub fn most_frequent(&self, count: usize) -> Vec<ValueCount> {
        let mut most: Vec<ValueCount> = Vec::new();
        let Some(dictionary) = self.dictionary() else { return most };
        let mut entries = dictionary.entries();
        while let Some((value, held)) = entries.next() {
            let at = most.partition_point(|other| other.positions >= held.cardinality);
            if at < count {
                let value = String::from_utf8_lossy(value).into_owned();
                most.insert(at, ValueCount { value, positions: held.cardinality });
                most.truncate(count);
            }
        }
        most
    }

    /// Number of positions that have a value.
    pub fn cardinality(&self, value: &str) -> u32 {
        self.find(value).map_or(0, |(_, held)| held.cardinality)
    }

    pub(super) fn dictionary(&self) -> Option<&Dictionary> {
        match &self.content {
            Content::Values { dictionary, .. } => Some(dictionary),
            Content::Numbers(_) => None,
        }
    }

    /// The number of a value and where its positions are.
    pub(super) fn find(&self, value: &str) -> Option<(u32, Held)> {
        self.dictionary()?.find(value.as_bytes())
    }

    /// Bytes between two pieces that are read for nothing to save a request.
    pub(super) fn gap_bytes(&self) -> u64 {
        match &self.body {
            Body::Memory(_) => 0,
            Body::Ssd(blob) => blob.merging().gap_bytes,
        }
    }

    /// A piece of the body without its sum, which held.
    pub(super) fn piece(
        &self,
        part: Part,
        number: u64,
        range: Range<u64>,
    ) -> Result<Cow<'_, [u8]>, OpenError> {
        match self.bytes(range)? {
            Cow::Borrowed(piece) => self.checked(part, number, piece).map(Cow::Borrowed),
            Cow::Owned(mut piece) => {
                let bytes = self.checked(part, number, &piece)?.len();
                piece.truncate(bytes);
                Ok(Cow::Owned(piece))
            }
        }
    }

    /// A piece without its sum, if that holds.
    pub(super) fn checked<'a>(
        &self,
        part: Part,
        number: u64,
        piece: &'a [u8],
    ) -> Result<&'a [u8], OpenError> {
        self.spec.sealer().open(part, number, piece).map_err(|(found, expected)| OpenError::Checksum {
            path: self.path.clone(),
            what: match part {
                Part::Posting => format!("posting of value {number}"),
                Part::Block => format!("block {number}"),
                Part::Nulls => "positions without a value".to_owned(),
                Part::Places => "places of blocks".to_owned(),
                Part::Dictionary => "dictionary".to_owned(),
                Part::Foot => "foot".to_owned(),
            },
            found: format!("{found:08x}"),
            expected: format!("{expected:08x}"),
        })
    }

    /// Bytes of the body, of a range that was checked to lie in it.
    pub(super) fn bytes(&self, range: Range<u64>) -> Result<Cow<'_, [u8]>, OpenError> {
        let (start, bytes) = (range.start, (range.end - range.start) as usize); // CAST: usize is 64 bits
        match &self.body {
            Body::Memory(body) => {
                let at = start as usize; // CAST: usize is 64 bits
                Ok(Cow::Borrowed(body.get(at..).and_then(|rest| rest.get(..bytes)).unwrap_or_default()))
            }
            Body::Ssd(blob) => {
                let mut out = vec![0; bytes];
                blob.read_into(BODY_AT + start, &mut out).map_err(|e| OpenError::blob(&self.path, e))?;
                Ok(Cow::Owned(out))
            }
        }
    }

    pub(super) fn malformed(&self, what: &str, malformed: Malformed) -> OpenError {
        OpenError::field(&self.path, what, malformed.found, malformed.expected)
    }
}
