//! Roaring bitmaps in their portable format, read into positions without a bitmap in between.
//!
//! ```text
//! bitmap      = 12346: u32, containers: u32         | descriptions | places | containers
//!             | 12347 + (containers - 1) << 16: u32, is it of runs: a bit for each container | descriptions | places | containers
//! description = high half of its positions: u16, their number less 1: u16
//! places      = per container, where it begins: u32; none of up to 3 containers some of which are of runs
//! container   = of runs: their number: u16, per run first: u16, positions after it: u16
//!             | of up to 4096 positions: low halves: u16 each
//!             | of more: a bit for each low half, 8192 bytes
//! ```
use super::malformed::{Expected, Malformed};
use super::positions::{self, Positions};
use super::varint::take_bytes;

const COOKIE: u32 = 12_346;
/// In the low half; some containers are of runs.
const RUNS_COOKIE: u32 = 12_347;
/// Containers from which on places are written in any case.
const PLACES_FROM: usize = 4;
/// Positions up to which a container lists them.
const LISTED: u64 = 4096;
/// Bytes of a container with a bit for each position.
const BITS_BYTES: u64 = 8192;
/// Words of bits of a container.
const WORDS: usize = 1024;

pub(super) fn read(bitmap: &[u8], expected: Expected) -> Result<Positions, Malformed> {
    let (mut rest, mut found) = (bitmap, Positions::with_room(expected.cardinality, expected.positions));
    let shape = Shape::take(&mut rest).ok_or_else(cut)?;
    let (mut count, mut before) = (0, None);
    let places = shape.places.as_chunks::<4>().0.iter().map(|&place| Some(u32::from_le_bytes(place)));
    let places = places.chain(std::iter::repeat(None));
    for ((number, description), place) in shape.descriptions.as_chunks::<4>().0.iter().enumerate().zip(places)
    {
        let [a, b, c, d] = *description;
        let (high, cardinality) = (u16::from_le_bytes([a, b]), u64::from(u16::from_le_bytes([c, d])) + 1);
        let at = bitmap.len() - rest.len();
        if before.is_some_and(|before| before >= high) || place.is_some_and(|place| place as usize != at) {
            return Err(Malformed::new(format!("container {number} out of order"), "ascending containers"));
        }
        count += cardinality;
        if count > expected.cardinality {
            // Few bytes of runs may stand for many positions, which there is no room for.
            expected.all(count)?;
        }
        let container = Container { first: u32::from(high) << 16, cardinality, expected };
        let is_of_runs = shape.of_runs.get(number / 8).is_some_and(|bits| bits >> (number % 8) & 1 == 1);
        if is_of_runs {
            container.take_runs(&mut rest, &mut found)?;
        } else if cardinality <= LISTED {
            container.take_list(&mut rest, &mut found)?;
        } else {
            container.take_bits(&mut rest, &mut found)?;
        }
        before = Some(high);
    }
    if !rest.is_empty() {
        return Err(Malformed::new(format!("{} bytes after the last container", rest.len()), "none"));
    }
    expected.all(count)?;
    Ok(found)
}

fn cut() -> Malformed {
    Malformed::new("a bitmap that is cut", "a roaring bitmap")
}

fn take_u16(rest: &mut &[u8]) -> Option<u16> {
    take_bytes(rest, 2)?.first_chunk().map(|&bytes| u16::from_le_bytes(bytes))
}

fn take_u32(rest: &mut &[u8]) -> Option<u32> {
    take_bytes(rest, 4)?.first_chunk().map(|&bytes| u32::from_le_bytes(bytes))
}

/// What comes before the containers.
struct Shape<'a> {
    of_runs: &'a [u8],
    descriptions: &'a [u8],
    places: &'a [u8],
}

impl<'a> Shape<'a> {
    fn take(rest: &mut &'a [u8]) -> Option<Shape<'a>> {
        let (containers, of_runs) = match take_u32(rest)? {
            COOKIE => (take_u32(rest)? as usize, &[][..]),
            cookie if cookie & 0xffff == RUNS_COOKIE => {
                let containers = (cookie >> 16) as usize + 1;
                let of_runs = take_bytes(rest, containers.div_ceil(8) as u64)?;
                // Bits of no container.
                of_runs.last().filter(|last| u16::from(**last) >> (1 + (containers - 1) % 8) == 0)?;
                (containers, of_runs)
            }
            _ => return None,
        };
        let has_places = of_runs.is_empty() || containers >= PLACES_FROM;
        let bytes = containers as u64 * 4; // CAST: widening
        let descriptions = take_bytes(rest, bytes)?;
        Some(Shape { of_runs, descriptions, places: take_bytes(rest, if has_places { bytes } else { 0 })? })
    }
}

/// A container that is read.
#[derive(Clone, Copy)]
struct Container {
    /// The first position that may be in it.
    first: u32,
    cardinality: u64,
    expected: Expected,
}

impl Container {
    fn take_runs(self, rest: &mut &[u8], found: &mut Positions) -> Result<(), Malformed> {
        let runs = take_u16(rest).ok_or_else(cut)?;
        let runs = take_bytes(rest, u64::from(runs) * 4).ok_or_else(cut)?;
        let (mut next, mut count) = (0, 0);
        for &[a, b, c, d] in runs.as_chunks::<4>().0 {
            let (low, more) = (u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d]));
            let last = low.checked_add(more).filter(|_| u32::from(low) >= next).ok_or_else(cut)?;
            next = u32::from(last) + 1;
            self.expected.next(self.first + u32::from(last))?;
            // There are fewer positions than u32 has numbers.
            let run = self.first + u32::from(low)..self.first + next;
            count += u64::from(more) + 1;
            match found {
                Positions::Words(words) => positions::set_range(words, run),
                Positions::Sorted(sorted) => sorted.extend(run),
                Positions::Shared(_) => unreachable!("positions that are being read"),
            }
        }
        self.all(count)
    }

    fn take_list(self, rest: &mut &[u8], found: &mut Positions) -> Result<(), Malformed> {
        let lows = take_bytes(rest, self.cardinality * 2).ok_or_else(cut)?.as_chunks::<2>().0;
        let lows = || lows.iter().map(|&low| u16::from_le_bytes(low));
        if !lows().is_sorted_by(|a, b| a < b) {
            return Err(Malformed::new("positions out of order", "ascending positions"));
        }
        if let Some(last) = lows().next_back() {
            self.expected.next(self.first + u32::from(last))?;
        }
        let all = lows().map(|low| self.first + u32::from(low));
        match found {
            Positions::Words(words) => all.for_each(|at| positions::set(words, &[at])),
            Positions::Sorted(sorted) => sorted.extend(all),
            Positions::Shared(_) => unreachable!("positions that are being read"),
        }
        Ok(())
    }

    fn take_bits(self, rest: &mut &[u8], found: &mut Positions) -> Result<(), Malformed> {
        let bits = take_bytes(rest, BITS_BYTES).ok_or_else(cut)?.as_chunks::<8>().0;
        let bits = || bits.iter().map(|&word| u64::from_le_bytes(word));
        self.all(bits().map(|word| u64::from(word.count_ones())).sum())?;
        let last = (0_u32..).zip(bits()).filter(|(_, word)| *word != 0).last();
        let Some((at, word)) = last else { return Err(cut()) };
        self.expected.next(self.first + 64 * at + word.ilog2())?;
        match found {
            Positions::Words(words) => {
                let here = words.iter_mut().skip(self.first as usize / 64).take(WORDS); // CAST: widening
                here.zip(bits()).for_each(|(word, bits)| *word = bits);
            }
            Positions::Sorted(sorted) => {
                // Words are taken first: no u32 comes after the positions of the last container.
                for (mut left, first) in bits().zip((self.first..).step_by(64)) {
                    while left != 0 {
                        sorted.push(first + left.trailing_zeros());
                        left &= left - 1;
                    }
                }
            }
            Positions::Shared(_) => unreachable!("positions that are being read"),
        }
        Ok(())
    }

    /// After the last of `count` positions.
    fn all(self, count: u64) -> Result<(), Malformed> {
        Expected { cardinality: self.cardinality, ..self.expected }.all(count)
    }
}

#[cfg(test)]
mod tests {
    use std::ops::Range;

    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;
    use roaring::RoaringBitmap;

    use super::*;

    fn bytes_of(positions: &RoaringBitmap) -> Vec<u8> {
        let mut bytes = Vec::new();
        positions.serialize_into(&mut bytes).unwrap();
        bytes
    }

    /// Bitmaps with containers of every form, with and without places.
    fn bitmaps() -> Vec<RoaringBitmap> {
        let mut rng = ChaCha8Rng::seed_from_u64(8);
        let mut random = |share: f64, range: Range<u32>| {
            range.filter(|_| rng.random_bool(share)).collect::<RoaringBitmap>()
        };
        let (few, many) = (random(0.01, 0..70_000), random(0.3, 65_536..200_000));
        let mut runs = RoaringBitmap::from_iter(100..9000);
        runs.insert_range(65_000..66_000);
        runs.insert_range(150_000..190_000);
        let last = RoaringBitmap::from_iter([5, u32::MAX - 1]);
        let mut all =
            vec![few.clone(), many.clone(), runs.clone(), &few | &many, &(&few | &many) | &runs, last];
        all.iter_mut().skip(2).for_each(|bitmap| {
            bitmap.optimize();
        });
        all
    }

    fn read_as(bytes: &[u8], cardinality: u64, positions: u64) -> Result<Positions, Malformed> {
        read(bytes, Expected { cardinality, positions })
    }

    #[test]
    fn containers_are_those_of_the_portable_format() {
        for bitmap in bitmaps() {
            let (bytes, last) = (bytes_of(&bitmap), bitmap.max().unwrap());
            // As bits, where there are fewer positions, or sorted.
            for positions in [u64::from(last) + 1, u64::from(u32::MAX)] {
                if positions > 1 << 24 && last < 1 << 24 && bitmap.len() > positions / 200 {
                    continue;
                }
                let found = read_as(&bytes, bitmap.len(), positions).unwrap();
                assert!(found.into_matches(positions).within(0..u32::MAX).eq(&bitmap));
            }
            assert!(read_as(&bytes, bitmap.len() + 1, u64::from(u32::MAX)).is_err());
            assert!(read_as(&bytes, bitmap.len(), last.into()).unwrap_err().expected.contains("below"));
            for len in 0..bytes.len().min(500) {
                assert!(read_as(&bytes[..len], bitmap.len(), u64::from(last) + 1).is_err(), "cut at {len}");
            }
            assert!(read_as(&[&bytes[..], &[0]].concat(), bitmap.len(), u64::from(last) + 1).is_err());
        }
    }

    #[test]
    fn more_positions_than_there_is_room_for_are_not_read() {
        let mut runs = RoaringBitmap::from_iter(0..1 << 20);
        runs.optimize();
        let refused = read_as(&bytes_of(&runs), 1, 1 << 20).unwrap_err();
        assert_eq!((refused.found.as_str(), refused.expected.as_str()), ("65536 positions", "1"));
    }

    #[test]
    fn damaged_containers_are_refused_or_hold_other_positions() {
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        for bitmap in bitmaps().into_iter().filter(|bitmap| bitmap.max() < Some(1 << 20)) {
            let (good, positions) = (bytes_of(&bitmap), u64::from(bitmap.max().unwrap()) + 1);
            let mut refused = 0;
            for turn in 0..400 {
                let mut bad = good.clone();
                let at = if turn < 60 { turn % bad.len() } else { rng.random_range(0..bad.len()) };
                bad[at] ^= 1 << rng.random_range(0..8);
                match read_as(&bad, bitmap.len(), positions) {
                    Ok(found) => {
                        let found = found.into_matches(positions);
                        assert_eq!(found.count(), bitmap.len());
                        assert!(!found.within(0..u32::MAX).eq(&bitmap), "byte {at}");
                    }
                    Err(_) => refused += 1,
                }
            }
            assert!(refused > 50, "{refused} refused");
        }
    }
}
