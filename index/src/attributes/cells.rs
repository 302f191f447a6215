//! What is known of one position.
use std::borrow::Cow;
use std::ops::Range;

use spandrel_filter::{AttributeType, Cell};

use super::dictionary::Dictionary;
use super::forward::{BLOCK, BlockReader, Blocks};
use super::frames::{self, FRAME, Frames};
use super::posting::Malformed;
use super::seal::Part;
use super::stored::{Content, StoredAttribute};
use crate::format::OpenError;

impl StoredAttribute {
    /// What is known of a position, which must exist.
    ///
    /// # Errors
    /// [`OpenError`] when it cannot be read or is damaged.
    pub fn cell(&self, position: u32) -> Result<Cell, OpenError> {
        match &self.content {
            Content::Numbers(frames) => {
                if self.nulls()?.contains(position) {
                    return Ok(Cell::Null);
                }
                let (frame, at) = (position as usize / FRAME, position as usize % FRAME);
                let mut keys = Vec::new();
                self.frame(frames, frame, &mut keys)?;
                let key = keys.get(at).copied();
                Ok(key.and_then(|key| Cell::of_key(self.spec.kind, key)).unwrap_or_default())
            }
            Content::Values { dictionary, blocks } => {
                let (block, at) = (position as usize / BLOCK, position as usize % BLOCK);
                let content = self.piece(Part::Block, block as u64, self.block_range(blocks, block))?;
                let mut reader = self.block_reader(&content, dictionary);
                let failed = |malformed| self.malformed(&format!("block {block}"), malformed);
                for _ in 0..at {
                    reader.next().map_err(failed)?;
                }
                let values = reader.next().map_err(failed)?;
                self.texts(dictionary, values)
            }
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

    /// The numbers of a frame by position; those of positions without one mean nothing.
    pub(super) fn frame(&self, frames: &Frames, frame: usize, keys: &mut Vec<u64>) -> Result<(), OpenError> {
        let place = self.frame_range(frames, frame);
        let bytes = if place.is_empty() { Cow::Borrowed(&[][..]) } else { self.bytes(place)? };
        self.decode_frame(frames, frame, &bytes, keys)
    }

    /// Where a frame is in the body.
    pub(super) fn frame_range(&self, frames: &Frames, frame: usize) -> Range<u64> {
        let (place, at) = (frames.place(frame), self.foot.blocks_at);
        at + place.start..at + place.end
    }

    /// As [`StoredAttribute::frame`], of the bytes of the frame.
    pub(super) fn decode_frame(
        &self,
        frames: &Frames,
        frame: usize,
        piece: &[u8],
        keys: &mut Vec<u64>,
    ) -> Result<(), OpenError> {
        let (span, count) = (frames.span(frame), frames.positions_in(frame));
        let content = if piece.is_empty() { piece } else { self.checked(Part::Block, frame as u64, piece)? };
        frames::read(content, span, count, keys);
        Ok(())
    }
}
