//! The values of an attribute in ascending order of their bytes, how many positions each has, and where these are.
//!
//! ```text
//! dictionary = entries; the first of each 16 shares nothing with the one before
//! entry      = shared: varint | rest: varint, bytes | cardinality: varint | place
//! place      = the position itself, a varint, where the cardinality is 1; else bytes of the posting, a varint
//! ```
//! `shared` bytes are those of the value before. Postings lie back to back in the order of values.
use std::cmp::Ordering;

use spandrel_filter::VALUE_BYTES_MAX;

use super::malformed::Malformed;
use super::varint::{self, take_bytes, take_u32};

/// Entries between two that can be read without the ones before.
const RESTART: usize = 16;

/// Where the positions of a value are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// It has this one.
    One(u32),
    /// In a posting, sum included.
    Posting { at: u64, bytes: u64 },
}

/// A value's number of positions, and where they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) cardinality: u32,
    pub(super) place: Place,
}

/// Makes entries.
#[derive(Debug, Default)]
pub(super) struct EntryWriter {
    last: Vec<u8>,
    written: u64,
}

impl EntryWriter {
    pub(super) fn written(&self) -> u64 {
        self.written
    }

    /// Appends the entry of the next value.
    pub(super) fn write(&mut self, value: &[u8], held: Held, out: &mut Vec<u8>) {
        assert!(self.written == 0 || self.last.as_slice() < value, "values ascend");
        assert!(value.len() <= VALUE_BYTES_MAX, "the length of values was checked");
        let same = || self.last.iter().zip(value).take_while(|(a, b)| a == b).count();
        let shared = if self.written.is_multiple_of(RESTART as u64) { 0 } else { same() };
        let rest = value.get(shared..).unwrap_or_default();
        varint::write(shared as u64, out);
        varint::write(rest.len() as u64, out);
        out.extend_from_slice(rest);
        varint::write(u64::from(held.cardinality), out);
        varint::write(
            match held.place {
                Place::One(position) => u64::from(position),
                Place::Posting { bytes, .. } => bytes,
            },
            out,
        );
        self.last.clear();
        self.last.extend_from_slice(value);
        self.written += 1;
    }
}

/// The values, in memory.
#[derive(Debug)]
pub(super) struct Dictionary {
    entries: Vec<u8>,
    restarts: Vec<Restart>,
    values: u32,
}

/// An entry that can be read without the ones before.
#[derive(Debug, Clone, Copy)]
struct Restart {
    /// In the entries.
    at: u64,
    /// Where postings begin from it on.
    posting_at: u64,
}

/// Reads entries in order.
pub(super) struct Entries<'a> {
    rest: &'a [u8],
    value: Vec<u8>,
    posting_at: u64,
    next: u32,
    values: u32,
}

impl Entries<'_> {
    /// The next entry: its value stays until the one after it. None after the last.
    pub(super) fn next(&mut self) -> Option<(&[u8], Held)> {
        if self.next == self.values {
            return None;
        }
        let held = self.advance();
        debug_assert!(held.is_some(), "entries were checked when they were read");
        held.map(|held| (self.value.as_slice(), held))
    }

    fn advance(&mut self) -> Option<Held> {
        let shared = usize::try_from(varint::take(&mut self.rest)?).ok()?;
        let count = varint::take(&mut self.rest)?;
        let suffix = take_bytes(&mut self.rest, count)?;
        let is_restart = (self.next as usize).is_multiple_of(RESTART);
        let length = shared.checked_add(suffix.len())?;
        if shared > self.value.len() || is_restart && shared > 0 || length > VALUE_BYTES_MAX {
            return None;
        }
        self.value.truncate(shared);
        self.value.extend_from_slice(suffix);
        let cardinality = take_u32(&mut self.rest)?;
        let place = match cardinality {
            0 => return None,
            1 => Place::One(take_u32(&mut self.rest)?),
            _ => {
                let bytes = varint::take(&mut self.rest)?;
                let at = self.posting_at;
                self.posting_at = at.checked_add(bytes)?;
                Place::Posting { at, bytes }
            }
        };
        self.next += 1;
        Some(Held { cardinality, place })
    }
}

/// What a dictionary must agree with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    pub(super) values: u32,
    /// Positions that they have together.
    pub(super) pairs: u64,
    /// Bytes of all postings.
    pub(super) posting_bytes: u64,
    /// Positions there are.
    pub(super) positions: u64,
}

impl Dictionary {
    /// Believes entries after every length in them was checked.
    pub(super) fn read(entries: Vec<u8>, shape: Shape) -> Result<Dictionary, Malformed> {
        let mut restarts = Vec::with_capacity((shape.values as usize).min(entries.len()).div_ceil(RESTART));
        let (posting_at, pairs, rest) = {
            let mut all =
                Entries { rest: &entries, value: Vec::new(), posting_at: 0, next: 0, values: shape.values };
            let mut pairs = 0_u64;
            for number in 0..shape.values {
                if (number as usize).is_multiple_of(RESTART) {
                    let at = (entries.len() - all.rest.len()) as u64; // CAST: widening
                    restarts.push(Restart { at, posting_at: all.posting_at });
                }
                let cut = || Malformed::new(format!("entry {number} that is cut"), "whole entries");
                let held = all.advance().ok_or_else(cut)?;
                let stray = matches!(held.place, Place::One(at) if u64::from(at) >= shape.positions);
                if stray || u64::from(held.cardinality) > shape.positions {
                    let expected = format!("positions below {}", shape.positions);
                    return Err(Malformed::new(format!("{held:?} of value {number}"), expected));
                }
                pairs += u64::from(held.cardinality);
            }
            (all.posting_at, pairs, all.rest.len())
        };
        let found = (posting_at, pairs, rest);
        let expected = (shape.posting_bytes, shape.pairs, 0);
        if found != expected {
            let text = |(bytes, pairs, rest)| {
                format!("{bytes} bytes of postings, {pairs} positions, {rest} bytes after the last entry")
            };
            return Err(Malformed::new(text(found), text(expected)));
        }
        Ok(Dictionary { entries, restarts, values: shape.values })
    }

    pub(super) fn values(&self) -> u32 {
        self.values
    }

    /// All entries from value `number`, rounded down to one that can be read by itself, on; and that number.
    fn entries_before(&self, number: u32) -> (Entries<'_>, u32) {
        let restart = number as usize / RESTART;
        let Restart { at, posting_at } = match self.restarts.get(restart) {
            Some(restart) => *restart,
            None => Restart { at: self.entries.len() as u64, posting_at: 0 },
        };
        let first = ((restart * RESTART) as u32).min(self.values); // CAST: at most `number`
        let rest = self.entries.get(at as usize..).unwrap_or_default(); // CAST: usize is 64 bits
        (Entries { rest, value: Vec::new(), posting_at, next: first, values: self.values }, first)
    }

    /// All entries in order.
    pub(super) fn entries(&self) -> Entries<'_> {
        self.entries_before(0).0
    }

    /// The entry of value number `number`, with the value; none past the last.
    pub(super) fn entry(&self, number: u32) -> Option<(Vec<u8>, Held)> {
        let (mut entries, first) = self.entries_before(number);
        for _ in first..number {
            entries.next()?;
        }
        entries.next().map(|(value, held)| (value.to_vec(), held))
    }

    /// The number of a value and its entry, if it is one of those.
    pub(super) fn find(&self, value: &[u8]) -> Option<(u32, Held)> {
        // The first of each sixteen is whole.
        let starts_after = |restart: &Restart| {
            let mut rest = self.entries.get(restart.at as usize..).unwrap_or_default(); // CAST: usize is 64 bits
            let _shared = varint::take(&mut rest);
            let first = varint::take(&mut rest).and_then(|count| take_bytes(&mut rest, count));
            first.is_some_and(|first| first <= value)
        };
        let restart = self.restarts.partition_point(starts_after).checked_sub(1)?;
        let (mut entries, first) = self.entries_before((restart * RESTART) as u32); // CAST: below `values`
        for number in first..self.values.min(first.saturating_add(RESTART as u32)) {
            let (found, held) = entries.next()?;
            match found.cmp(value) {
                Ordering::Less => {}
                Ordering::Equal => return Some((number, held)),
                Ordering::Greater => return None,
            }
        }
        None
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.entries.len() + self.restarts.len() * size_of::<Restart>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values() -> Vec<Vec<u8>> {
        let mut values: Vec<Vec<u8>> =
            (0..1000_u32).map(|i| format!("tag-{:05}", i * 7919 % 10_007).into_bytes()).collect();
        values.extend([Vec::new(), vec![0], vec![255; 300], "täg".into()]);
        values.sort();
        values
    }

    fn held(number: u32, posting_at: &mut u64) -> Held {
        if number.is_multiple_of(3) {
            return Held { cardinality: 1, place: Place::One(number) };
        }
        let bytes = u64::from(number) * 5 % 700 + 1;
        let place = Place::Posting { at: *posting_at, bytes };
        *posting_at += bytes;
        Held { cardinality: number % 50 + 2, place }
    }

    fn write() -> (Vec<u8>, Vec<Held>, Shape) {
        let (mut writer, mut entries, mut posting_bytes) = (EntryWriter::default(), Vec::new(), 0);
        let all: Vec<Held> = values()
            .iter()
            .zip(0..)
            .map(|(value, number)| {
                let held = held(number, &mut posting_bytes);
                writer.write(value, held, &mut entries);
                held
            })
            .collect();
        let pairs = all.iter().map(|held| u64::from(held.cardinality)).sum();
        let shape = Shape { values: all.len() as u32, pairs, posting_bytes, positions: 2000 };
        (entries, all, shape)
    }

    #[test]
    fn values_are_found_by_bytes_and_by_number() {
        let (bytes, all, shape) = write();
        let plain: usize = values().iter().map(Vec::len).sum();
        assert!(bytes.len() < plain, "{} of {plain} bytes", bytes.len());
        let dictionary = Dictionary::read(bytes, shape).unwrap();
        let mut entries = dictionary.entries();
        for (number, (value, held)) in (0..).zip(values().into_iter().zip(&all)) {
            assert_eq!(dictionary.find(&value), Some((number, *held)));
            assert_eq!(dictionary.entry(number), Some((value.clone(), *held)));
            assert_eq!(entries.next(), Some((value.as_slice(), *held)));
            let other = [&value[..], b"!"].concat();
            assert_eq!(dictionary.find(&other), None);
        }
        assert_eq!(entries.next(), None);
        assert_eq!(dictionary.entry(all.len() as u32), None);
        let none = Shape { values: 0, pairs: 0, posting_bytes: 0, positions: 9 };
        let empty = Dictionary::read(Vec::new(), none).unwrap();
        assert_eq!((empty.find(b"a"), empty.entry(0), empty.entries().next()), (None, None, None));
    }

    #[test]
    fn entries_that_are_cut_or_do_not_add_up_are_refused() {
        let (bytes, _, shape) = write();
        for len in (0..bytes.len()).step_by(7) {
            assert!(Dictionary::read(bytes[..len].to_vec(), shape).is_err(), "cut at {len}");
        }
        assert!(Dictionary::read([&bytes[..], &[0]].concat(), shape).is_err());
        for wrong in [
            Shape { values: shape.values - 1, ..shape },
            Shape { values: shape.values + 1, ..shape },
            Shape { pairs: shape.pairs + 1, ..shape },
            Shape { posting_bytes: shape.posting_bytes - 1, ..shape },
            Shape { positions: 40, ..shape },
        ] {
            assert!(Dictionary::read(bytes.clone(), wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn any_bytes_are_a_dictionary_or_refused() {
        let (good, _, shape) = write();
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] = bad[at].wrapping_mul(31).wrapping_add(77);
            if let Ok(dictionary) = Dictionary::read(bad, shape) {
                let mut entries = dictionary.entries();
                while entries.next().is_some() {}
                dictionary.find(b"tag-05000");
                dictionary.entry(shape.values - 1);
            }
        }
    }
}
