//! What is known of one position: read here, or of bytes that a caller has read.
use std::borrow::Cow;
use std::ops::Range;

use spandrel_filter::{AttributeType, Cell};

use super::dictionary::Dictionary;
use super::forward::{BLOCK, BlockReader, Blocks};
use super::frames::{self, FRAME, Frames};
use super::malformed::Malformed;
use super::seal::Part;
use super::stored::{Content, StoredAttribute};
use crate::format::{BODY_AT, OpenError};
use crate::segment_matches::SegmentMatches;

/// A part of the file that is read to know what positions have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct CellPiece {
    /// Number of the block of positions; none of the positions without a number.
    pub block: Option<u32>,
    /// Bytes from the start of the file.
    pub offset: u64,
    /// Its sum included; 0 where nothing is read.
    pub bytes: u64,
}

/// Positions without a number.
#[derive(Debug, Clone, Default)]
pub struct NoNumber(Option<SegmentMatches>);

/// Where it is known which positions have no number.
#[derive(Debug, Clone)]
pub enum NullsAt {
    /// Here: of an attribute with a dictionary none, since its blocks tell.
    Hand(NoNumber),
    /// On SSD.
    Ssd(CellPiece),
}

impl NoNumber {
    /// Whether a position has none.
    pub fn contains(&self, position: u32) -> bool {
        self.0.as_ref().is_some_and(|nulls| nulls.contains(position))
    }
}

impl StoredAttribute {
    /// What is known of a position, which must exist.
    ///
    /// # Errors
    /// [`OpenError`] when it cannot be read or is damaged.
    pub fn cell(&self, position: u32) -> Result<Cell, OpenError> {
        if matches!(self.content, Content::Numbers(_)) && self.nulls()?.contains(position) {
            return Ok(Cell::Null);
        }
        let (block, range) = self.block_of(position);
        let content = match range.is_empty() {
            true => Cow::default(),
            false => self.piece(Part::Block, block as u64, range)?,
        };
        let mut found = Cell::Null;
        self.cells_in::<OpenError>(std::iter::once(position), &content, |_, cell| {
            found = cell;
            Ok(())
        })?;
        Ok(found)
    }

    /// The bytes of a piece, sum included, of an attribute in memory. None of one on SSD.
    pub fn resident(&self, piece: CellPiece) -> Option<&[u8]> {
        let at = usize::try_from(piece.offset - BODY_AT).unwrap_or(usize::MAX);
        let bytes = usize::try_from(piece.bytes).unwrap_or(usize::MAX);
        self.memory().map(|body| body.get(at..).and_then(|rest| rest.get(..bytes)).unwrap_or_default())
    }

    /// What is read to know a position, which must exist.
    pub fn cell_piece(&self, position: u32) -> CellPiece {
        let (block, range) = self.block_of(position);
        let (offset, bytes) = (BODY_AT + range.start, range.end - range.start);
        CellPiece { block: Some(block as u32), offset, bytes } // CAST: a block holds a position, which is a u32
    }

    /// Which positions have no number, or what is read to know it.
    ///
    /// # Errors
    /// [`OpenError`] when they are in memory and damaged.
    pub fn nulls_at(&self) -> Result<NullsAt, OpenError> {
        if matches!(self.content, Content::Values { .. }) || self.null_count() == 0 {
            return Ok(NullsAt::Hand(NoNumber::default()));
        }
        if let Some(nulls) = self.kept_nulls() {
            return Ok(NullsAt::Hand(NoNumber(Some(nulls))));
        }
        if self.is_resident() {
            return self.nulls().map(|nulls| NullsAt::Hand(NoNumber(Some(nulls))));
        }
        let (start, end) = (self.foot.nulls_at, self.foot.places_at);
        Ok(NullsAt::Ssd(CellPiece { block: None, offset: BODY_AT + start, bytes: end - start }))
    }

    /// A piece without its sum, if that holds; nothing of a piece of no bytes.
    ///
    /// # Errors
    /// The sums found and expected.
    pub fn check_piece<'a>(&self, piece: CellPiece, bytes: &'a [u8]) -> Result<&'a [u8], (u32, u32)> {
        match piece.block {
            _ if bytes.is_empty() => Ok(bytes),
            Some(block) => self.spec.sealer().open(Part::Block, block.into(), bytes),
            None => self.spec.sealer().open(Part::Nulls, 0, bytes),
        }
    }

    /// What is known of positions of one piece, which ascend, out of the piece without its sum: each is handed to `each` with its
    /// place among them. The number of a position without one means nothing.
    ///
    /// # Errors
    /// [`OpenError`] when the piece is damaged; what was handed out before holds.
    pub fn cells_in<E: From<OpenError>>(
        &self,
        positions: impl Iterator<Item = u32>,
        content: &[u8],
        mut each: impl FnMut(usize, Cell) -> Result<(), E>,
    ) -> Result<(), E> {
        // Positions of the block that were read, and the values of the last.
        let (mut reader, mut read, mut values) = (None, 0, Vec::new());
        for (number, position) in positions.enumerate() {
            let (block, _) = self.block_of(position);
            let cell = match &self.content {
                Content::Numbers(frames) => {
                    let (span, count) = (frames.span(block), frames.positions_in(block));
                    let key = frames::number(content, span, count, position as usize % FRAME);
                    Cell::of_key(self.spec.kind, key).unwrap_or_default()
                }
                Content::Values { dictionary, .. } => {
                    let reader = reader.get_or_insert_with(|| self.block_reader(content, dictionary));
                    let place = position as usize % BLOCK;
                    while read <= place {
                        let next = reader.next();
                        let next = next.map_err(|e| self.malformed(&format!("block {block}"), e))?;
                        if read == place {
                            values = next.to_vec();
                        }
                        read += 1;
                    }
                    self.texts(dictionary, &values)?
                }
            };
            each(number, cell)?;
        }
        Ok(())
    }

    /// Positions without a number, out of their piece without the sum. They are kept for others.
    ///
    /// # Errors
    /// [`OpenError`] when it is damaged.
    pub fn nulls_in(&self, content: &[u8]) -> Result<NoNumber, OpenError> {
        Ok(NoNumber(Some(self.keep_nulls(content)?)))
    }

    /// The block or frame of a position, and where it is in the body.
    fn block_of(&self, position: u32) -> (usize, Range<u64>) {
        let at = position as usize;
        match &self.content {
            Content::Numbers(frames) => (at / FRAME, self.frame_range(frames, at / FRAME)),
            Content::Values { blocks, .. } => (at / BLOCK, self.block_range(blocks, at / BLOCK)),
        }
    }

    /// The cell of values by number.
    fn texts(&self, dictionary: &Dictionary, values: &[u32]) -> Result<Cell, OpenError> {
        let mut texts = Vec::with_capacity(values.len());
        for &value in values {
            let bytes = dictionary.entry(value).map(|(bytes, _)| bytes).unwrap_or_default();
            let text = String::from_utf8(bytes).map_err(|_| {
                self.malformed(&format!("value {value}"), Malformed::new("bytes that are no text", "UTF-8"))
            })?;
            texts.push(text);
        }
        Ok(match self.spec.kind {
            _ if texts.is_empty() => Cell::Null,
            AttributeType::Tags => Cell::Tags(texts.into_iter().collect()),
            AttributeType::Bool => Cell::Bool(texts.iter().any(|text| text == "true")),
            _ => texts.pop().map_or(Cell::Null, Cell::Keyword),
        })
    }

    pub(super) fn block_reader<'a>(&self, content: &'a [u8], dictionary: &Dictionary) -> BlockReader<'a> {
        let Some(arity) = self.spec.arity() else { unreachable!("numbers have no dictionary") };
        BlockReader::new(content, arity, dictionary.values())
    }

    /// Where a block of the forward array is in the body.
    pub(super) fn block_range(&self, blocks: &Blocks, block: usize) -> Range<u64> {
        let (place, at) = (blocks.place(block), self.foot.blocks_at);
        at + place.start..at + place.end
    }

    /// Where a frame is in the body.
    pub(super) fn frame_range(&self, frames: &Frames, frame: usize) -> Range<u64> {
        let (place, at) = (frames.place(frame), self.foot.blocks_at);
        at + place.start..at + place.end
    }

    /// A frame without its sum, if that holds; it is empty where all its numbers are one.
    pub(super) fn checked_frame<'a>(&self, frame: usize, piece: &'a [u8]) -> Result<&'a [u8], OpenError> {
        if piece.is_empty() { Ok(piece) } else { self.checked(Part::Block, frame as u64, piece) }
    }
}
