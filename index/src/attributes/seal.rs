//! Checksums of the pieces of a section: each names its index, attribute, part and number.
use crate::format::{CRC_BYTES, checksum_seed};

/// What a piece is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Part {
    /// Positions of a value, by the value's number.
    Posting = 1,
    /// What a block of positions holds, by the block's number: numbers of values, or numbers.
    Block = 2,
    /// Positions without a value.
    Nulls = 3,
    /// Where blocks are, or between what their numbers lie.
    Places = 4,
    /// Values with their cardinalities.
    Dictionary = 5,
    /// What ends the body.
    Foot = 6,
}

/// Signs and checks the pieces of one section.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sealer {
    /// Of the segment.
    pub(super) uuid: u128,
    /// Number of the attribute in the schema.
    pub(super) attribute: u16,
}

impl Sealer {
    /// The sum of a piece before its first byte; [`crc32c::crc32c_append`] goes on from it.
    pub(super) fn start(self, part: Part, number: u64) -> u32 {
        // Numbers stay far below 2^40: there are at most 2^32 values or blocks.
        let place = u64::from(self.attribute) << 48 | u64::from(part as u8) << 40 | number; // CAST: `Part` is a u8
        checksum_seed(self.uuid, place)
    }

    /// Signs a piece.
    pub(super) fn seal(self, part: Part, number: u64, piece: &mut Vec<u8>) {
        let sum = crc32c::crc32c_append(self.start(part, number), piece);
        piece.extend_from_slice(&sum.to_le_bytes());
    }

    /// A piece without its sum, if that holds: the sums found and expected if not.
    pub(super) fn open(self, part: Part, number: u64, piece: &[u8]) -> Result<&[u8], (u32, u32)> {
        let Some((content, stored)) = piece.split_last_chunk::<CRC_BYTES>() else { return Err((0, 0)) };
        let (found, stored) =
            (crc32c::crc32c_append(self.start(part, number), content), u32::from_le_bytes(*stored));
        if found == stored { Ok(content) } else { Err((found, stored)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_knows_its_index_attribute_part_and_number() {
        let sealer = Sealer { uuid: 7, attribute: 2 };
        let mut piece = b"piece".to_vec();
        sealer.seal(Part::Posting, 9, &mut piece);
        assert_eq!(sealer.open(Part::Posting, 9, &piece), Ok(b"piece".as_slice()));
        assert!(sealer.open(Part::Posting, 8, &piece).is_err());
        assert!(sealer.open(Part::Block, 9, &piece).is_err());
        assert!(Sealer { uuid: 8, ..sealer }.open(Part::Posting, 9, &piece).is_err());
        assert!(Sealer { attribute: 1, ..sealer }.open(Part::Posting, 9, &piece).is_err());
        for at in 0..piece.len() {
            let mut bad = piece.clone();
            bad[at] ^= 1;
            assert!(sealer.open(Part::Posting, 9, &bad).is_err(), "{at}");
        }
        assert!(sealer.open(Part::Posting, 9, &[1, 2]).is_err());
    }
}
