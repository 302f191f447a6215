//! Which values each position has, by the values' numbers, in blocks of positions.
//!
//! ```text
//! block  = per position, varints: 0 where it has none; else the value's number plus 1,
//!          of tags how many there are, the number of the first, and for each other its number less the one before, less 1
//! places = per block, where it begins: u64, from the first block on
//! ```
use super::malformed::Malformed;
use super::varint;

/// Positions of a block.
pub(super) const BLOCK: usize = 256;
const PLACE_BYTES: usize = 8;

/// How a position's values are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arity {
    /// One at most.
    One,
    /// Any number.
    Many,
}

/// Appends the values of a position, ascending.
pub(super) fn write(values: &[u32], arity: Arity, out: &mut Vec<u8>) {
    match (arity, values) {
        (_, []) => out.push(0),
        (Arity::One, &[value]) => varint::write(u64::from(value) + 1, out),
        (Arity::One, _) => unreachable!("one value at a position"),
        (Arity::Many, _) => {
            varint::write(values.len() as u64, out);
            let mut next = 0;
            for &value in values {
                varint::write(u64::from(value) - next, out);
                next = u64::from(value) + 1;
            }
        }
    }
}

/// Reads the positions of a block one after the other.
pub(super) struct BlockReader<'a> {
    rest: &'a [u8],
    arity: Arity,
    /// Values there are.
    values: u32,
    found: Vec<u32>,
}

impl<'a> BlockReader<'a> {
    pub(super) fn new(block: &'a [u8], arity: Arity, values: u32) -> BlockReader<'a> {
        BlockReader { rest: block, arity, values, found: Vec::new() }
    }

    /// The values of the next position, ascending.
    pub(super) fn next(&mut self) -> Result<&[u32], Malformed> {
        let expected = || Malformed::new("a block that is cut", "varints of values for each position");
        self.found.clear();
        let first = varint::take(&mut self.rest).ok_or_else(expected)?;
        match self.arity {
            Arity::One if first > 0 => self.push(first - 1)?,
            Arity::One => {}
            Arity::Many => {
                let mut next = 0;
                for _ in 0..first {
                    let gap = varint::take(&mut self.rest).ok_or_else(expected)?;
                    let value = gap.checked_add(next).ok_or_else(expected)?;
                    self.push(value)?;
                    next = value + 1;
                }
            }
        }
        Ok(&self.found)
    }

    fn push(&mut self, value: u64) -> Result<(), Malformed> {
        match u32::try_from(value).ok().filter(|&value| value < self.values) {
            Some(value) => self.found.push(value),
            None => return Err(Malformed::new(format!("value {value}"), format!("below {}", self.values))),
        }
        Ok(())
    }

    /// After the last position: whether nothing is left.
    pub(super) fn finish(self) -> Result<(), Malformed> {
        match self.rest.len() {
            0 => Ok(()),
            left => Err(Malformed::new(format!("{left} bytes after the last position"), "none")),
        }
    }
}

/// Where each block is, in memory.
#[derive(Debug)]
pub(super) struct Blocks {
    /// Where each begins, and where the last ends.
    starts: Vec<u64>,
    positions: usize,
}

impl Blocks {
    pub(super) fn read(places: &[u8], positions: usize, block_bytes: u64) -> Result<Blocks, Malformed> {
        let count = positions.div_ceil(BLOCK);
        if places.len() != count * PLACE_BYTES {
            let expected = format!("{} bytes of places", count * PLACE_BYTES);
            return Err(Malformed::new(format!("{} bytes of places", places.len()), expected));
        }
        let places = places.as_chunks::<PLACE_BYTES>().0.iter().map(|&place| u64::from_le_bytes(place));
        let starts: Vec<u64> = places.chain([block_bytes]).collect();
        if starts.first() != Some(&0) && positions > 0 || !starts.is_sorted() {
            let expected = format!("ascending from 0 to {block_bytes}");
            return Err(Malformed::new("places of blocks out of order", expected));
        }
        Ok(Blocks { starts, positions })
    }

    /// Number of blocks.
    pub(super) fn count(&self) -> usize {
        self.starts.len() - 1
    }

    /// Where a block's bytes are, from the first block on; sum included.
    pub(super) fn place(&self, block: usize) -> std::ops::Range<u64> {
        let at = |block: usize| self.starts.get(block).or(self.starts.last()).copied().unwrap_or(0);
        at(block)..at(block + 1)
    }

    /// Positions in a block.
    pub(super) fn positions_in(&self, block: usize) -> usize {
        BLOCK.min(self.positions.saturating_sub(block * BLOCK))
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.starts.len() * size_of::<u64>()
    }
}

/// Appends a block's place.
pub(super) fn write_place(at: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(&at.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(rows: &[&[u32]], arity: Arity) -> Vec<u8> {
        let mut bytes = Vec::new();
        rows.iter().for_each(|row| write(row, arity, &mut bytes));
        bytes
    }

    #[test]
    fn values_of_positions_round_trip() {
        let many: [&[u32]; 4] = [&[], &[0], &[0, 1, 900], &[999]];
        let one: [&[u32]; 3] = [&[999], &[], &[0]];
        for (rows, arity) in [(&many[..], Arity::Many), (&one[..], Arity::One)] {
            let bytes = block(rows, arity);
            let mut reader = BlockReader::new(&bytes, arity, 1000);
            for row in rows {
                assert_eq!(reader.next(), Ok(*row));
            }
            assert_eq!(reader.finish(), Ok(()));
            let mut fewer = BlockReader::new(&bytes, arity, 999);
            assert!(rows.iter().any(|_| fewer.next().is_err()));
            for len in 0..bytes.len() {
                let mut cut = BlockReader::new(&bytes[..len], arity, 1000);
                assert!(rows.iter().any(|_| cut.next().is_err()), "cut at {len}");
            }
        }
        let longer = [1, 0];
        let mut reader = BlockReader::new(&longer, Arity::One, 9);
        assert_eq!(reader.next(), Ok([0].as_slice()));
        assert!(reader.finish().is_err());
    }

    #[test]
    fn places_that_do_not_ascend_are_refused() {
        let places: Vec<u8> = [0, 300_u64].iter().flat_map(|at| at.to_le_bytes()).collect();
        let blocks = Blocks::read(&places, BLOCK + 9, 400).unwrap();
        assert_eq!((blocks.count(), blocks.place(0), blocks.place(1)), (2, 0..300, 300..400));
        assert_eq!((blocks.positions_in(0), blocks.positions_in(1)), (BLOCK, 9));
        assert!(Blocks::read(&places, BLOCK + 9, 299).is_err());
        assert!(Blocks::read(&places, BLOCK, 400).is_err());
        assert!(Blocks::read(&places[8..], BLOCK, 400).is_err());
    }
}
