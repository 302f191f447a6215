//! Which numbers of a frame are in a range, 64 at a time by their bits (Li and Patel, "BitWeaving", 2013).
use spandrel_filter::KeyRange;

use super::frames::{self, FRAME, Span};

/// Words of a bit for each position of a frame.
pub(super) const WORDS: usize = FRAME / 64;
/// Words that are compared at once: what is known of them stays in registers.
const PART: usize = 8;
const PART_BYTES: usize = PART * 8;
/// Ranges up to which each is compared by bits. With more, numbers are put together and looked up.
const RANGES: usize = 6;

/// A frame whose sum held.
#[derive(Debug, Clone, Copy)]
pub(super) struct Frame<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) span: Span,
    pub(super) positions: usize,
}

impl Frame<'_> {
    /// A bit for each position whose number is in one of some ranges, which are sorted and have gaps between them. That of a
    /// position without a number means nothing.
    pub(super) fn in_ranges(self, ranges: &[KeyRange]) -> [u64; WORDS] {
        let Frame { span, positions, .. } = self;
        let first = ranges.partition_point(|range| range.last < span.least);
        let last = ranges.partition_point(|range| range.first <= span.largest);
        let ranges = ranges.get(first..last).unwrap_or_default();
        let mut found = [0; WORDS];
        if ranges.len() > RANGES {
            let mut keys = Vec::new();
            frames::read(self.bytes, span, positions, &mut keys);
            for (word, keys) in found.iter_mut().zip(keys.chunks(64)) {
                *word = keys.iter().rev().fold(0, |word, &key| word << 1 | u64::from(are_in(ranges, key)));
            }
            return found;
        }
        for range in ranges {
            let mut inside = match range.last < span.largest {
                true => self.at_most(range.last - span.least),
                false => [u64::MAX; WORDS],
            };
            if range.first > span.least {
                let below = self.at_most(range.first - 1 - span.least);
                inside.iter_mut().zip(below).for_each(|(word, below)| *word &= !below);
            }
            found.iter_mut().zip(inside).for_each(|(word, inside)| *word |= inside);
        }
        let whole = positions / 64;
        for (at, word) in found.iter_mut().enumerate().skip(whole) {
            *word &= if at == whole { (1 << (positions % 64)) - 1 } else { 0 };
        }
        found
    }

    /// A bit for each position whose number exceeds the least by `excess` or less.
    fn at_most(self, excess: u64) -> [u64; WORDS] {
        let (bits, slice_bytes) = (self.span.bits(), self.positions.div_ceil(8));
        let mut found = [0; WORDS];
        for (part, found) in found.as_chunks_mut::<PART>().0.iter_mut().enumerate() {
            let from = part * PART_BYTES;
            let (mut less, mut equal) = ([0; PART], [u64::MAX; PART]);
            for (bit, slice) in (0..bits).rev().zip(self.bytes.chunks_exact(slice_bytes)) {
                // All bits set where that of the excess is.
                let is_set = 0_u64.wrapping_sub(excess >> bit & 1);
                let slice = slice.get(from..).unwrap_or_default();
                let words = slice.first_chunk().map_or_else(|| padded(slice), words);
                let mut left = 0;
                for ((less, equal), word) in less.iter_mut().zip(&mut equal).zip(words) {
                    let still = *equal & !(word ^ is_set);
                    *less |= (*equal ^ still) & is_set;
                    *equal = still;
                    left |= still;
                }
                if left == 0 {
                    break;
                }
            }
            found.iter_mut().zip(less).zip(equal).for_each(|((word, less), equal)| *word = less | equal);
        }
        found
    }
}

fn words(bytes: &[u8; PART_BYTES]) -> [u64; PART] {
    let mut words = [0; PART];
    words
        .iter_mut()
        .zip(bytes.as_chunks::<8>().0)
        .for_each(|(word, &bytes)| *word = u64::from_le_bytes(bytes));
    words
}

/// The last bytes of a slice, and zeros.
fn padded(bytes: &[u8]) -> [u64; PART] {
    let mut all = [0; PART_BYTES];
    all.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    words(&all)
}

fn are_in(ranges: &[KeyRange], key: u64) -> bool {
    let after = ranges.partition_point(|range| range.first <= key);
    after.checked_sub(1).and_then(|at| ranges.get(at)).is_some_and(|range| range.contains(key))
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    #[test]
    fn bits_tell_what_numbers_are_in_ranges() {
        let mut rng = ChaCha8Rng::seed_from_u64(9);
        for (positions, bits) in
            [(FRAME, 20), (FRAME, 1), (FRAME, 64), (1, 7), (300, 5), (FRAME - 1, 3), (512, 9)]
        {
            let most = u64::MAX >> (64 - bits);
            let least = rng.random_range(0..=u64::MAX - most);
            let numbers: Vec<Option<u64>> = (0..positions)
                .map(|_| rng.random_bool(0.9).then(|| least + rng.random_range(0..=most)))
                .collect();
            let span = Span::of(numbers.iter().copied().flatten());
            let mut bytes = Vec::new();
            frames::write(&numbers, span, &mut bytes);
            let frame = Frame { bytes: &bytes, span, positions };
            for count in [1, 1, 1, 2, 3, 40] {
                let mut ends: Vec<u64> =
                    (0..2 * count).map(|_| least.saturating_add(rng.random_range(0..=most))).collect();
                // Ends of the span, and what lies outside.
                ends[0] = [ends[0], span.least, 0][rng.random_range(0..3)];
                ends[1] = [ends[1], span.largest, u64::MAX][rng.random_range(0..3)];
                ends.sort_unstable();
                ends.dedup();
                let ranges: Vec<KeyRange> =
                    ends.chunks_exact(2).map(|ends| KeyRange { first: ends[0], last: ends[1] }).collect();
                let found = frame.in_ranges(&ranges);
                for (at, number) in numbers.iter().enumerate() {
                    let Some(number) = *number else { continue };
                    let expected = ranges.iter().any(|range| range.contains(number));
                    assert_eq!(found[at / 64] >> (at % 64) & 1 == 1, expected, "{number} in {ranges:?}");
                }
                let beyond = |at: &usize| found[at / 64] >> (at % 64) & 1 == 1;
                assert!(!(positions..FRAME).any(|at| beyond(&at)), "bits beyond the last position");
            }
        }
    }
}
