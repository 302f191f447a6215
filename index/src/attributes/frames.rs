//! Numbers by position, in frames: each holds what its numbers exceed the least of them by, in as few bits as the largest
//! needs.
//!
//! ```text
//! frame  = per bit of a number less the frame's least, the highest first: that bit of each position, 8 a byte, low ones first;
//!          0 where there is no number
//! places = per frame { least: u64, largest: u64 }          the least above the largest: no number in the frame
//! ```
//! A range is so compared with 64 numbers at a time, from their highest bits on ([`slices`](super::slices)).
use spandrel_filter::KeyRange;

use super::malformed::Malformed;
use crate::format::CRC_BYTES;

/// Positions of a frame.
pub(super) const FRAME: usize = 1024;
/// Bytes of a frame's place.
const PLACE_BYTES: usize = 16;

/// Between what the numbers of a frame lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) least: u64,
    pub(super) largest: u64,
}

impl Span {
    const NONE: Span = Span { least: u64::MAX, largest: 0 };

    /// Of all numbers there are.
    pub(super) fn of(numbers: impl Iterator<Item = u64>) -> Span {
        numbers.fold(Span::NONE, |span, number| Span {
            least: span.least.min(number),
            largest: span.largest.max(number),
        })
    }

    /// Bits of a number in the frame.
    pub(super) fn bits(self) -> u32 {
        self.largest.checked_sub(self.least).map_or(0, |range| u64::BITS - range.leading_zeros())
    }

    /// Bytes of a frame of `count` positions on disk, sum included; none at all where all numbers are one.
    pub(super) fn frame_bytes(self, count: usize) -> usize {
        match count.div_ceil(8) * self.bits() as usize {
            0 => 0,
            bytes => bytes + CRC_BYTES,
        }
    }

    /// Which of its numbers are in ranges, which are sorted and have gaps between them.
    pub(super) fn meets(self, ranges: &[KeyRange]) -> Meets {
        let first = ranges.partition_point(|range| range.last < self.least);
        match ranges.get(first) {
            Some(range) if self.least <= self.largest && range.first <= self.largest => {
                if range.contains(self.least) && range.contains(self.largest) {
                    Meets::All
                } else {
                    Meets::Some
                }
            }
            _ => Meets::Nothing,
        }
    }
}

/// Which numbers of a frame are in some ranges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meets {
    Nothing,
    All,
    Some,
}

/// Appends the numbers of a frame.
pub(super) fn write(numbers: &[Option<u64>], span: Span, out: &mut Vec<u8>) {
    for bit in (0..span.bits()).rev() {
        let of_number = |number: &Option<u64>| number.map_or(0, |number| (number - span.least) >> bit & 1);
        let of_eight = |eight: &[Option<u64>]| {
            eight.iter().rev().fold(0, |byte, number| byte << 1 | of_number(number) as u8) // CAST: a bit
        };
        out.extend(numbers.chunks(8).map(of_eight));
    }
}

/// The numbers of a frame of `count` positions whose sum held; that of a position without one means nothing.
pub(super) fn read(bytes: &[u8], span: Span, count: usize, out: &mut Vec<u64>) {
    out.clear();
    out.resize(count, 0);
    if span.bits() > 0 {
        for slice in bytes.chunks_exact(count.div_ceil(8)) {
            for (eight, &byte) in out.chunks_mut(8).zip(slice) {
                (0..).zip(eight).for_each(|(at, number)| *number = *number << 1 | u64::from(byte >> at & 1));
            }
        }
    }
    // A number of a broken frame may pass the largest: the frame is only ever too wide then.
    out.iter_mut().for_each(|number| *number = number.wrapping_add(span.least));
}

/// The number of one position of [`read`].
pub(super) fn number(bytes: &[u8], span: Span, count: usize, at: usize) -> u64 {
    let slices = bytes.chunks_exact(count.div_ceil(8).max(1)).take(span.bits() as usize);
    let bit = |slice: &[u8]| u64::from(slice.get(at / 8).map_or(0, |byte| byte >> (at % 8) & 1));
    slices.fold(0, |number: u64, slice| number << 1 | bit(slice)).wrapping_add(span.least)
}

/// Where each frame is, in memory.
#[derive(Debug, Default)]
pub(super) struct Frames {
    spans: Vec<Span>,
    /// Where each frame begins, and where the last ends.
    starts: Vec<u64>,
    positions: usize,
}

impl Frames {
    pub(super) fn read(places: &[u8], positions: usize, frame_bytes: u64) -> Result<Frames, Malformed> {
        let count = positions.div_ceil(FRAME);
        if places.len() != count * PLACE_BYTES {
            let expected = format!("{} bytes of places", count * PLACE_BYTES);
            return Err(Malformed::new(format!("{} bytes of places", places.len()), expected));
        }
        let mut frames = Frames { spans: Vec::with_capacity(count), starts: vec![0], positions };
        let mut at = 0;
        for (number, place) in places.as_chunks::<PLACE_BYTES>().0.iter().enumerate() {
            let [a, b, c, d, e, f, g, h, largest @ ..] = *place;
            let least = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
            let span = Span { least, largest: u64::from_le_bytes(largest) };
            at += span.frame_bytes(frames.positions_in(number)) as u64;
            frames.spans.push(span);
            frames.starts.push(at);
        }
        if at != frame_bytes {
            return Err(Malformed::new(format!("frames of {at} bytes"), format!("{frame_bytes} bytes")));
        }
        Ok(frames)
    }

    /// Number of frames.
    pub(super) fn count(&self) -> usize {
        self.spans.len()
    }

    /// Between what the numbers of a frame lie.
    pub(super) fn span(&self, frame: usize) -> Span {
        self.spans.get(frame).copied().unwrap_or(Span::NONE)
    }

    /// Where a frame's bytes are, from the first frame on; sum included.
    pub(super) fn place(&self, frame: usize) -> std::ops::Range<u64> {
        let at = |frame: usize| self.starts.get(frame).or(self.starts.last()).copied().unwrap_or(0);
        at(frame)..at(frame + 1)
    }

    /// Positions in a frame.
    pub(super) fn positions_in(&self, frame: usize) -> usize {
        FRAME.min(self.positions.saturating_sub(frame * FRAME))
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.spans.len() * size_of::<Span>() + self.starts.len() * size_of::<u64>()
    }
}

/// Appends a frame's place.
pub(super) fn write_place(span: Span, out: &mut Vec<u8>) {
    out.extend_from_slice(&span.least.to_le_bytes());
    out.extend_from_slice(&span.largest.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    #[test]
    fn numbers_of_any_width_round_trip() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        for bits in 0..=64_u32 {
            let most = u64::MAX.checked_shr(64 - bits).unwrap_or(0);
            let least = rng.random_range(0..=u64::MAX - most);
            let numbers: Vec<Option<u64>> = (0..300)
                .map(|at| match at {
                    0 => Some(least),
                    1 => Some(least + most),
                    _ => rng.random_bool(0.9).then(|| least + rng.random_range(0..=most)),
                })
                .collect();
            let span = Span::of(numbers.iter().copied().flatten());
            assert_eq!((span, span.bits()), (Span { least, largest: least + most }, bits));
            let (mut bytes, mut read_back) = (Vec::new(), Vec::new());
            write(&numbers, span, &mut bytes);
            assert_eq!(bytes.len(), 38 * bits as usize);
            assert_eq!(span.frame_bytes(300), if bits == 0 { 0 } else { bytes.len() + 4 });
            read(&bytes, span, 300, &mut read_back);
            for (number, found) in numbers.iter().zip(&read_back) {
                assert!(number.is_none_or(|number| number == *found), "{bits}: {number:?}, {found}");
            }
            let one_by_one = (0..300).map(|at| super::number(&bytes, span, 300, at));
            assert_eq!(one_by_one.collect::<Vec<u64>>(), read_back);
        }
        let none = Span::of(std::iter::empty());
        assert_eq!((none.bits(), none.frame_bytes(300)), (0, 0));
        assert_eq!(none.meets(&[KeyRange { first: 0, last: u64::MAX }]), Meets::Nothing);
    }

    #[test]
    fn spans_tell_what_need_not_be_read() {
        let span = Span { least: 10, largest: 20 };
        for (ranges, meets) in [
            (&[(0, 9)][..], Meets::Nothing),
            (&[(21, 30)], Meets::Nothing),
            (&[(0, 9), (21, 30)], Meets::Nothing),
            (&[], Meets::Nothing),
            (&[(10, 20)], Meets::All),
            (&[(0, 3), (5, 99)], Meets::All),
            (&[(0, 10)], Meets::Some),
            (&[(20, 20)], Meets::Some),
            (&[(12, 13)], Meets::Some),
            (&[(1, 2), (12, 13), (15, 99)], Meets::Some),
        ] {
            assert_eq!(span.meets(&key_ranges(ranges)), meets, "{ranges:?}");
        }
        let one = Span { least: 5, largest: 5 };
        assert_eq!(one.meets(&key_ranges(&[(5, 5)])), Meets::All);
        assert_eq!(one.meets(&key_ranges(&[(6, 7)])), Meets::Nothing);
    }

    fn key_ranges(ranges: &[(u64, u64)]) -> Vec<KeyRange> {
        ranges.iter().map(|&(first, last)| KeyRange { first, last }).collect()
    }

    #[test]
    fn places_that_do_not_add_up_are_refused() {
        let spans = [Span { least: 0, largest: 255 }, Span::NONE, Span { least: 7, largest: 8 }];
        let mut places = Vec::new();
        spans.iter().for_each(|&span| write_place(span, &mut places));
        let positions = 2 * FRAME + 10;
        let bytes = (1024 + 4) + 2 + 4;
        let frames = Frames::read(&places, positions, bytes).unwrap();
        assert_eq!((frames.count(), frames.place(0), frames.place(1)), (3, 0..1028, 1028..1028));
        assert_eq!((frames.place(2), frames.positions_in(2), frames.span(1)), (1028..1034, 10, Span::NONE));
        assert!(Frames::read(&places, positions, bytes + 1).is_err());
        assert!(Frames::read(&places, FRAME, bytes).is_err());
        assert!(Frames::read(&places[1..], positions, bytes).is_err());
    }
}
