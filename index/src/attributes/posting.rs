//! Which positions have a value.
//!
//! ```text
//! posting = encoding: u8 | content
//! list    (encoding 1) = first position, then each position less the one before, less 1: varints
//! roaring (encoding 2) = the portable format of roaring bitmaps
//! ```
//! Lists are taken below [`LIST_POSITIONS`], and where a bitmap would take more than [`BITMAP_BYTES`] a position.
use roaring::RoaringBitmap;

use super::containers;
use super::malformed::{Expected, Malformed};
use super::positions::{self, Positions};
use super::varint;

/// Positions from which on a bitmap is taken.
const LIST_POSITIONS: u64 = 4096;
/// Bytes a position beyond which a bitmap is not.
const BITMAP_BYTES: u64 = 3;
const LIST: u8 = 1;
const ROARING: u8 = 2;

/// Appends positions.
pub(super) fn write(positions: &RoaringBitmap, out: &mut Vec<u8>) {
    let count = positions.len();
    let bitmap_bytes = positions.serialized_size();
    if count >= LIST_POSITIONS && bitmap_bytes as u64 <= BITMAP_BYTES * count {
        out.push(ROARING);
        out.reserve(bitmap_bytes);
        if let Err(e) = positions.serialize_into(&mut *out) {
            unreachable!("writing to memory: {e}");
        }
        return;
    }
    out.push(LIST);
    let mut next = 0;
    for position in positions {
        varint::write(u64::from(position) - next, out);
        next = u64::from(position) + 1;
    }
}

pub(super) fn read(bytes: &[u8], expected: Expected) -> Result<Positions, Malformed> {
    match bytes.split_first() {
        Some((&LIST, list)) => read_list(list, expected),
        Some((&ROARING, bitmap)) => containers::read(bitmap, expected),
        Some((encoding, _)) => Err(Malformed::new(format!("encoding {encoding}"), "1 or 2")),
        None => Err(Malformed::new("no byte", "an encoding")),
    }
}

fn read_list(list: &[u8], expected: Expected) -> Result<Positions, Malformed> {
    let mut found = Positions::with_room(expected.cardinality, expected.positions);
    match &mut found {
        Positions::Sorted(sorted) => each_of_list(list, expected, |at| sorted.push(at))?,
        Positions::Words(words) => each_of_list(list, expected, |at| positions::set(words, &[at]))?,
        Positions::Shared(_) => unreachable!("positions that were just made"),
    }
    Ok(found)
}

fn each_of_list(mut list: &[u8], expected: Expected, mut take: impl FnMut(u32)) -> Result<(), Malformed> {
    let cut = || Malformed::new("a list that is cut", "varints of ascending positions");
    let (mut next, mut count) = (0_u64, 0);
    while !list.is_empty() {
        let gap = varint::take(&mut list).ok_or_else(cut)?;
        let position = next.checked_add(gap).and_then(|at| u32::try_from(at).ok()).ok_or_else(cut)?;
        next = expected.next(position)?;
        count += 1;
        take(position);
    }
    expected.all(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    const POSITIONS: u64 = 10_000_000;

    fn round_trip(positions: RoaringBitmap) -> usize {
        let mut bytes = Vec::new();
        write(&positions, &mut bytes);
        let expected = Expected { cardinality: positions.len(), positions: POSITIONS };
        let found = read(&bytes, expected).unwrap().into_matches(POSITIONS);
        assert!(found.within(0..u32::MAX).eq(&positions));
        let fewer = Expected { cardinality: positions.len() + 1, ..expected };
        assert!(read(&bytes, fewer).unwrap_err().found.contains("positions"));
        if let Some(last) = positions.max() {
            let short = Expected { positions: u64::from(last), ..expected };
            assert!(read(&bytes, short).unwrap_err().expected.contains("below"));
        }
        for len in 0..bytes.len().min(200) {
            assert!(read(&bytes[..len], expected).is_err(), "cut at {len}");
        }
        bytes.len()
    }

    #[test]
    fn positions_round_trip_in_the_smaller_encoding() {
        assert_eq!(round_trip([0, 1, 2, 300].into_iter().collect()), 1 + 3 + 2);
        assert_eq!(round_trip([POSITIONS as u32 - 1].into_iter().collect()), 1 + 4);
        // Every tenth of ten million: two bytes each in a bitmap.
        let tenth: RoaringBitmap = (0..POSITIONS as u32).step_by(10).collect();
        assert!(round_trip(tenth.clone()) < 5 * POSITIONS as usize / 16);
        // Runs are one varint of a byte each.
        assert_eq!(round_trip((7..4000).collect()), 1 + 3993);
        // 4096 far apart: 27 in each container.
        let far: RoaringBitmap = (0..4096).map(|i| i * 2440).collect();
        assert!(round_trip(far) <= 3 * 4096);
    }

    #[test]
    fn what_is_no_posting_is_refused() {
        let expected = Expected { cardinality: 1, positions: POSITIONS };
        for wrong in [&[][..], &[0], &[3, 1], &[LIST], &[LIST, 0x80], &[ROARING], &[ROARING, 1, 2, 3, 4]] {
            assert!(read(wrong, expected).is_err(), "{wrong:?}");
        }
        let mut huge = vec![LIST];
        varint::write(u64::MAX, &mut huge);
        assert!(read(&huge, expected).is_err());
    }
}
