//! Sorted runs of an attribute in scratch, each a group of a spill file.
//!
//! ```text
//! run of texts   = per text, ascending: bytes of it: u32, the text, number of positions: u32, positions: u32 each, ascending
//! run of numbers = per position, ascending: position: u32, key: u64
//! ```
use crate::BuildError;
use crate::spill::{SpillReader, SpillWriter, buffer_records_min};

/// Positions that are handed over at once.
const PIECE: usize = 4096;

/// Writes one run.
pub(super) struct RunWriter<'a> {
    spill: &'a mut SpillWriter,
    group: usize,
    piece: Vec<u8>,
}

impl<'a> RunWriter<'a> {
    pub(super) fn new(spill: &'a mut SpillWriter) -> RunWriter<'a> {
        let group = spill.add_group();
        RunWriter { spill, group, piece: Vec::new() }
    }

    pub(super) fn text(&mut self, text: &str, positions: &[u32]) -> Result<(), BuildError> {
        // CAST: texts are short, and positions u32
        let (bytes, count) = ((text.len() as u32).to_le_bytes(), (positions.len() as u32).to_le_bytes());
        self.spill.push(self.group, &[&bytes, text.as_bytes(), &count])?;
        for piece in positions.chunks(PIECE) {
            self.piece.clear();
            piece.iter().for_each(|position| self.piece.extend_from_slice(&position.to_le_bytes()));
            self.spill.push(self.group, &[&self.piece])?;
        }
        Ok(())
    }

    pub(super) fn number(&mut self, position: u32, key: u64) -> Result<(), BuildError> {
        self.spill.push(self.group, &[&position.to_le_bytes(), &key.to_le_bytes()])
    }

    pub(super) fn finish(self) -> Result<(), BuildError> {
        self.spill.finish_group(self.group)
    }
}

/// Reads one run from front to back.
pub(super) struct RunReader<'a> {
    spill: &'a SpillReader,
    group: usize,
    /// Next byte of the group to be read.
    next: u64,
    buffer: Vec<u8>,
    at: usize,
}

impl<'a> RunReader<'a> {
    pub(super) fn new(spill: &'a SpillReader, group: usize) -> RunReader<'a> {
        RunReader { spill, group, next: 0, buffer: Vec::new(), at: 0 }
    }

    /// Whether nothing is left.
    pub(super) fn is_at_end(&self) -> bool {
        self.at == self.buffer.len() && self.next == self.spill.records(self.group)
    }

    /// The next bytes, `count` of them; runs were checked by their hashes.
    fn take(&mut self, count: usize) -> Result<&[u8], BuildError> {
        if self.buffer.len() - self.at < count {
            self.buffer.drain(..self.at);
            self.at = 0;
            let missing = count - self.buffer.len();
            let more =
                (missing.max(buffer_records_min(1)) as u64).min(self.spill.records(self.group) - self.next);
            let mut bytes = Vec::new();
            self.spill.read(self.group, self.next..self.next + more, &mut bytes)?;
            self.next += more;
            self.buffer.extend_from_slice(&bytes);
            assert!(self.buffer.len() >= count, "a run that ends amid a record");
        }
        let bytes = &self.buffer[self.at..self.at + count];
        self.at += count;
        Ok(bytes)
    }

    fn take_u32(&mut self) -> Result<u32, BuildError> {
        let bytes = self.take(4)?;
        Ok(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }

    /// Replaces `text` by the next one.
    pub(super) fn text(&mut self, text: &mut Vec<u8>) -> Result<(), BuildError> {
        let bytes = self.take_u32()? as usize;
        text.clear();
        text.extend_from_slice(self.take(bytes)?);
        Ok(())
    }

    /// After a text, its positions, ascending, some at a time.
    pub(super) fn positions(&mut self, mut take: impl FnMut(&[u32])) -> Result<(), BuildError> {
        let (mut left, mut piece) = (self.take_u32()? as usize, Vec::with_capacity(PIECE));
        while left > 0 {
            let count = left.min(PIECE);
            piece.clear();
            piece.extend(self.take(4 * count)?.as_chunks::<4>().0.iter().map(|&at| u32::from_le_bytes(at)));
            take(&piece);
            left -= count;
        }
        Ok(())
    }

    /// The next position with its key.
    pub(super) fn number(&mut self) -> Result<(u32, u64), BuildError> {
        let bytes = self.take(12)?;
        let (position, key) = bytes.split_at(4);
        Ok((
            u32::from_le_bytes(*position.first_chunk().unwrap_or(&[0; 4])),
            u64::from_le_bytes(*key.first_chunk().unwrap_or(&[0; 8])),
        ))
    }
}
