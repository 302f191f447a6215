//! What ends the body of a section: how much there is of what, and where each part begins.
use std::ops::Range;

use spandrel_filter::AttributeType;

use super::malformed::Malformed;
use super::seal::{Part, Sealer};
use crate::format::CRC_BYTES;

/// Bytes of it, sum included.
pub(super) const FOOT_BYTES: usize = 8 + 8 * FIELDS + CRC_BYTES;
const FIELDS: usize = 7;

/// Sizes of a section, and where its parts begin, in bytes from the body's start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Foot {
    /// Distinct values; 0 of numbers.
    pub(super) values: u64,
    /// Values of all positions.
    pub(super) pairs: u64,
    /// Positions without a value.
    pub(super) nulls: u64,
    /// Blocks or frames, where postings end.
    pub(super) blocks_at: u64,
    /// Positions without a value.
    pub(super) nulls_at: u64,
    /// Places of blocks or frames.
    pub(super) places_at: u64,
    /// The dictionary; nothing of numbers.
    pub(super) dictionary_at: u64,
}

impl Foot {
    /// The foot as stored.
    pub(super) fn to_bytes(self, sealer: Sealer, kind: AttributeType) -> Vec<u8> {
        let Foot { values, pairs, nulls, blocks_at, nulls_at, places_at, dictionary_at } = self;
        let mut bytes = u64::from(kind_code(kind)).to_le_bytes().to_vec();
        for field in [values, pairs, nulls, blocks_at, nulls_at, places_at, dictionary_at] {
            bytes.extend_from_slice(&field.to_le_bytes());
        }
        sealer.seal(Part::Foot, 0, &mut bytes);
        bytes
    }

    /// Reads the content of a foot whose sum held, of a body that ends at `body_bytes`.
    pub(super) fn read(
        content: &[u8],
        kind: AttributeType,
        positions: u64,
        body_bytes: u64,
    ) -> Result<Foot, Malformed> {
        let words = content.as_chunks::<8>().0;
        let mut words = words.iter().map(|&word| u64::from_le_bytes(word));
        let mut take = || words.next().unwrap_or_default();
        let (found, expected) = (take(), u64::from(kind_code(kind)));
        if found != expected {
            return Err(Malformed::new(format!("type {found}"), format!("{expected} ({kind})")));
        }
        let foot = Foot {
            values: take(),
            pairs: take(),
            nulls: take(),
            blocks_at: take(),
            nulls_at: take(),
            places_at: take(),
            dictionary_at: take(),
        };
        let end = body_bytes.saturating_sub(FOOT_BYTES as u64);
        let parts = [0, foot.blocks_at, foot.nulls_at, foot.places_at, foot.dictionary_at, end];
        if !parts.is_sorted() {
            return Err(Malformed::new(format!("parts at {parts:?}"), "parts in order"));
        }
        if foot.nulls > positions || foot.values > foot.pairs || foot.values > u64::from(u32::MAX) {
            let expected = format!("no more than {positions} positions hold");
            return Err(Malformed::new(format!("{foot:?}"), expected));
        }
        Ok(foot)
    }

    /// Where the places are.
    pub(super) fn places(&self) -> Range<u64> {
        self.places_at..self.dictionary_at
    }

    /// Bytes of all blocks or frames.
    pub(super) fn block_bytes(&self) -> u64 {
        self.nulls_at - self.blocks_at
    }
}

/// The stable number of a type.
fn kind_code(kind: AttributeType) -> u8 {
    match kind {
        AttributeType::Keyword => 1,
        AttributeType::Tags => 2,
        AttributeType::Bool => 3,
        AttributeType::I64 => 4,
        AttributeType::F64 => 5,
        AttributeType::Timestamp => 6,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FOOT: Foot = Foot {
        values: 3,
        pairs: 20,
        nulls: 4,
        blocks_at: 100,
        nulls_at: 200,
        places_at: 210,
        dictionary_at: 226,
    };

    #[test]
    fn what_does_not_add_up_is_refused() {
        let sealer = Sealer { uuid: 1, attribute: 0 };
        let read = |foot: Foot, kind, positions, body_bytes| {
            let bytes = foot.to_bytes(sealer, AttributeType::Tags);
            assert_eq!(bytes.len(), FOOT_BYTES);
            Foot::read(sealer.open(Part::Foot, 0, &bytes).unwrap(), kind, positions, body_bytes)
        };
        let end = 300 + FOOT_BYTES as u64;
        assert_eq!(read(FOOT, AttributeType::Tags, 10, end), Ok(FOOT));
        assert!(read(FOOT, AttributeType::Keyword, 10, end).unwrap_err().expected.contains("keyword"));
        assert!(read(FOOT, AttributeType::Tags, 3, end).is_err());
        assert!(read(FOOT, AttributeType::Tags, 10, 225 + FOOT_BYTES as u64).is_err());
        assert!(read(Foot { nulls_at: 99, ..FOOT }, AttributeType::Tags, 10, end).is_err());
        assert!(read(Foot { values: 21, ..FOOT }, AttributeType::Tags, 10, end).is_err());
    }
}
