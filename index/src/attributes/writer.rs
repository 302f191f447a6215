//! Writes the section of an attribute from front to end: values in ascending order, then positions in order.
use roaring::RoaringBitmap;
use spandrel_filter::AttributeType;
use spandrel_io::{FileWriter, WriteError};

use super::dictionary::{EntryWriter, Held, Place};
use super::foot::Foot;
use super::forward::{self, Arity, BLOCK};
use super::frames::{self, FRAME, Span};
use super::posting;
use super::seal::{Part, Sealer};

/// Which section is written.
#[derive(Debug, Clone, Copy)]
pub struct AttributeSpec {
    /// Of the segment.
    pub uuid: u128,
    /// Number of the attribute in the schema.
    pub attribute: u16,
    /// What it holds.
    pub kind: AttributeType,
}

impl AttributeSpec {
    pub(super) fn sealer(self) -> Sealer {
        Sealer { uuid: self.uuid, attribute: self.attribute }
    }

    /// How the values of a position are written; none of numbers.
    pub(super) fn arity(self) -> Option<Arity> {
        match self.kind {
            AttributeType::Keyword | AttributeType::Bool => Some(Arity::One),
            AttributeType::Tags => Some(Arity::Many),
            AttributeType::I64 | AttributeType::F64 | AttributeType::Timestamp => None,
        }
    }
}

/// First, the positions of each value, of keywords, tags and bools.
#[derive(Debug)]
pub struct PostingWriter {
    file: FileWriter,
    spec: AttributeSpec,
    entries: EntryWriter,
    pairs: u64,
    piece: Vec<u8>,
}

impl PostingWriter {
    /// Writes into a file of which nothing but the room for a header is written.
    pub fn new(file: FileWriter, spec: AttributeSpec) -> PostingWriter {
        PostingWriter { file, spec, entries: EntryWriter::default(), pairs: 0, piece: Vec::new() }
    }

    /// Writes the positions of the next value and appends its entry of the dictionary, which is written last, to `entry`.
    ///
    /// # Errors
    /// [`WriteError`].
    ///
    /// # Panics
    /// When values do not ascend, or one has no position.
    pub fn write(
        &mut self,
        value: &str,
        positions: &RoaringBitmap,
        entry: &mut Vec<u8>,
    ) -> Result<(), WriteError> {
        let (Some(first), at) = (positions.min(), self.file.bytes()) else {
            unreachable!("a value without a position")
        };
        let place = if positions.len() == 1 {
            Place::One(first)
        } else {
            self.piece.clear();
            posting::write(positions, &mut self.piece);
            self.spec.sealer().seal(Part::Posting, self.entries.written(), &mut self.piece);
            self.file.append(&self.piece)?;
            Place::Posting { at, bytes: self.piece.len() as u64 }
        };
        self.pairs += positions.len();
        // CAST: fewer than 2^32 positions
        self.entries.write(value.as_bytes(), Held { cardinality: positions.len() as u32, place }, entry);
        Ok(())
    }

    /// After the last value.
    pub fn finish(self) -> ForwardWriter {
        let PostingWriter { file, spec, entries, pairs, .. } = self;
        let Some(arity) = spec.arity() else { unreachable!("numbers have no dictionary") };
        let blocks =
            Pieces { at: file.bytes(), positions: 0, nulls: RoaringBitmap::new(), places: Vec::new() };
        ForwardWriter { file, spec, arity, values: entries.written(), pairs, blocks, piece: Vec::new() }
    }
}

/// Blocks or frames while they are written.
#[derive(Debug)]
struct Pieces {
    /// Where the first begins.
    at: u64,
    positions: u32,
    nulls: RoaringBitmap,
    places: Vec<u8>,
}

impl Pieces {
    /// Counts a position.
    fn push(&mut self, is_null: bool) {
        if is_null {
            self.nulls.insert(self.positions);
        }
        self.positions += 1;
    }

    /// Writes nulls and places.
    fn finish(self, file: &mut FileWriter, spec: AttributeSpec) -> Result<Foot, WriteError> {
        let Pieces { at, nulls, mut places, .. } = self;
        let nulls_at = file.bytes();
        let mut piece = Vec::new();
        posting::write(&nulls, &mut piece);
        spec.sealer().seal(Part::Nulls, 0, &mut piece);
        file.append(&piece)?;
        let places_at = file.bytes();
        spec.sealer().seal(Part::Places, 0, &mut places);
        file.append(&places)?;
        let dictionary_at = file.bytes();
        Ok(Foot {
            values: 0,
            pairs: 0,
            nulls: nulls.len(),
            blocks_at: at,
            nulls_at,
            places_at,
            dictionary_at,
        })
    }
}

/// Second, the values of each position.
#[derive(Debug)]
pub struct ForwardWriter {
    file: FileWriter,
    spec: AttributeSpec,
    arity: Arity,
    values: u64,
    pairs: u64,
    blocks: Pieces,
    piece: Vec<u8>,
}

impl ForwardWriter {
    /// Writes the values of the next position by their numbers, ascending; null where there is none.
    ///
    /// # Errors
    /// [`WriteError`].
    pub fn write(&mut self, values: &[u32]) -> Result<(), WriteError> {
        if (self.blocks.positions as usize).is_multiple_of(BLOCK) {
            self.finish_block()?;
            forward::write_place(self.file.bytes() - self.blocks.at, &mut self.blocks.places);
        }
        forward::write(values, self.arity, &mut self.piece);
        self.blocks.push(values.is_empty());
        Ok(())
    }

    fn finish_block(&mut self) -> Result<(), WriteError> {
        if self.piece.is_empty() {
            return Ok(());
        }
        let number = (self.blocks.positions - 1) as usize / BLOCK;
        self.spec.sealer().seal(Part::Block, number as u64, &mut self.piece);
        self.file.append(&self.piece)?;
        self.piece.clear();
        Ok(())
    }

    /// After the last position.
    ///
    /// # Errors
    /// [`WriteError`].
    pub fn finish(mut self) -> Result<DictionaryWriter, WriteError> {
        self.finish_block()?;
        let ForwardWriter { mut file, spec, values, pairs, blocks, .. } = self;
        let foot = Foot { values, pairs, ..blocks.finish(&mut file, spec)? };
        let sum = spec.sealer().start(Part::Dictionary, 0);
        Ok(DictionaryWriter { file, spec, foot, sum })
    }
}

/// Third, the dictionary.
#[derive(Debug)]
pub struct DictionaryWriter {
    file: FileWriter,
    spec: AttributeSpec,
    foot: Foot,
    sum: u32,
}

impl DictionaryWriter {
    /// Appends entries, in the order in which [`PostingWriter::write`] made them.
    ///
    /// # Errors
    /// [`WriteError`].
    pub fn append(&mut self, entries: &[u8]) -> Result<(), WriteError> {
        self.sum = crc32c::crc32c_append(self.sum, entries);
        self.file.append(entries)
    }

    /// After the last entry: the file, whole but for its header.
    ///
    /// # Errors
    /// [`WriteError`].
    pub fn finish(self) -> Result<FileWriter, WriteError> {
        let DictionaryWriter { mut file, spec, foot, sum } = self;
        file.append(&sum.to_le_bytes())?;
        file.append(&foot.to_bytes(spec.sealer(), spec.kind))?;
        Ok(file)
    }
}

/// The numbers of all positions.
#[derive(Debug)]
pub struct NumberWriter {
    file: FileWriter,
    spec: AttributeSpec,
    frames: Pieces,
    frame: Vec<Option<u64>>,
    pairs: u64,
    piece: Vec<u8>,
}

impl NumberWriter {
    /// Writes into a file of which nothing but the room for a header is written.
    pub fn new(file: FileWriter, spec: AttributeSpec) -> NumberWriter {
        assert!(spec.arity().is_none(), "{} is no type of numbers", spec.kind);
        let frames = Pieces { at: 0, positions: 0, nulls: RoaringBitmap::new(), places: Vec::new() };
        NumberWriter { file, spec, frames, frame: Vec::with_capacity(FRAME), pairs: 0, piece: Vec::new() }
    }

    /// Writes the key of the next position's number; null where there is none.
    ///
    /// # Errors
    /// [`WriteError`].
    pub fn write(&mut self, key: Option<u64>) -> Result<(), WriteError> {
        self.frame.push(key);
        self.frames.push(key.is_none());
        self.pairs += u64::from(key.is_some());
        if self.frame.len() == FRAME { self.finish_frame() } else { Ok(()) }
    }

    fn finish_frame(&mut self) -> Result<(), WriteError> {
        if self.frame.is_empty() {
            return Ok(());
        }
        let number = (self.frames.positions - 1) as usize / FRAME;
        let span = Span::of(self.frame.iter().copied().flatten());
        frames::write(&self.frame, span, &mut self.piece);
        if !self.piece.is_empty() {
            self.spec.sealer().seal(Part::Block, number as u64, &mut self.piece);
            self.file.append(&self.piece)?;
        }
        frames::write_place(span, &mut self.frames.places);
        self.piece.clear();
        self.frame.clear();
        Ok(())
    }

    /// After the last position: the file, whole but for its header.
    ///
    /// # Errors
    /// [`WriteError`].
    pub fn finish(mut self) -> Result<FileWriter, WriteError> {
        self.finish_frame()?;
        let NumberWriter { mut file, spec, frames, pairs, .. } = self;
        let foot = Foot { pairs, ..frames.finish(&mut file, spec)? };
        file.append(&spec.sealer().start(Part::Dictionary, 0).to_le_bytes())?;
        file.append(&foot.to_bytes(spec.sealer(), spec.kind))?;
        Ok(file)
    }
}
