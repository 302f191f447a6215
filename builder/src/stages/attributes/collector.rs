//! Values and their positions in memory, until they are written as a run.
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use xxhash_rust::xxh3::xxh3_64;

use super::runs::RunWriter;
use crate::BuildError;
use crate::spill::SpillWriter;

/// Bytes of memory of a pair, and of its position while pairs are sorted by text.
const PAIR_BYTES: usize = 8 + 4;
/// Bytes of memory of a text beside its own: where it ends; while a run is written its place in order, and where its positions end and
/// the next one goes.
const TEXT_BYTES: usize = 8 + 4 + 2 * 4;
/// Bytes of memory of a place in the table of numbers.
const PLACE_BYTES: usize = 17;
/// Texts that one row may add to a table, as a rule, before it is looked at again.
const ROW_TEXTS: usize = 4096;
/// Bytes of memory of a number with its position.
const NUMBER_BYTES: usize = 16;

/// What was found of one attribute since its last run.
pub(super) enum Collector {
    Texts(Texts),
    /// Positions and keys.
    Numbers(Vec<(u32, u64)>),
}

impl Collector {
    /// Bytes of memory that it may take until it is written, or asked again.
    pub(super) fn memory_bytes(&self) -> usize {
        match self {
            Collector::Texts(texts) => {
                let table = table_bytes(texts.numbers.len(), texts.numbers.capacity());
                texts.pairs.len() * PAIR_BYTES + texts.text.len() + texts.ends.len() * TEXT_BYTES + table
            }
            Collector::Numbers(numbers) => numbers.len() * NUMBER_BYTES,
        }
    }

    /// Writes what was found as a run, and forgets it; nothing where nothing was.
    pub(super) fn flush(&mut self, spill: &mut SpillWriter) -> Result<bool, BuildError> {
        match self {
            Collector::Texts(texts) => texts.flush(spill),
            Collector::Numbers(numbers) => {
                if numbers.is_empty() {
                    return Ok(false);
                }
                numbers.sort_unstable();
                let mut run = RunWriter::new(spill);
                numbers.drain(..).try_for_each(|(position, key)| run.number(position, key))?;
                run.finish()?;
                Ok(true)
            }
        }
    }
}

/// Bytes of a table that has room for `room` numbers, seven eighths of its places. One that may soon be full stands beside the one of twice as
/// many places that follows it.
fn table_bytes(numbers: usize, room: usize) -> usize {
    if room == 0 {
        return 0;
    }
    let places = (room * 8).div_ceil(7).next_power_of_two();
    let tables = if room - numbers <= ROW_TEXTS { 3 } else { 1 };
    tables * places * PLACE_BYTES
}

/// Texts, each once, and which positions have which.
#[derive(Default)]
pub(super) struct Texts {
    text: String,
    /// Where each ends in `text`.
    ends: Vec<usize>,
    /// Numbers of texts by their hash, or the next free one.
    numbers: HashMap<u64, u32, BuildHasherDefault<Hashed>>,
    /// Number of the text, and position.
    pairs: Vec<(u32, u32)>,
}

impl Texts {
    /// Notes that a position has a text.
    pub(super) fn push(&mut self, text: &str, position: u32) {
        let mut hash = xxh3_64(text.as_bytes());
        let number = loop {
            match self.numbers.get(&hash) {
                Some(&number) if self.get(number) == text => break number,
                Some(_) => hash = hash.wrapping_add(1),
                None => {
                    let number = self.ends.len() as u32; // CAST: memory for fewer is allowed
                    self.text.push_str(text);
                    self.ends.push(self.text.len());
                    self.numbers.insert(hash, number);
                    break number;
                }
            }
        };
        self.pairs.push((number, position));
    }

    fn get(&self, number: u32) -> &str {
        let number = number as usize;
        let start = number.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.text[start..self.ends[number]]
    }

    fn flush(&mut self, spill: &mut SpillWriter) -> Result<bool, BuildError> {
        if self.pairs.is_empty() {
            return Ok(false);
        }
        let mut order: Vec<u32> = (0..self.ends.len() as u32).collect(); // CAST: memory for fewer is allowed
        order.sort_unstable_by(|&a, &b| self.get(a).cmp(self.get(b)));
        // Positions by text.
        let mut ends = vec![0_u32; self.ends.len() + 1];
        self.pairs.iter().for_each(|&(number, _)| ends[number as usize + 1] += 1);
        for at in 1..ends.len() {
            ends[at] += ends[at - 1];
        }
        let mut positions = vec![0; self.pairs.len()];
        let mut next = ends.clone();
        for &(number, position) in &self.pairs {
            positions[next[number as usize] as usize] = position;
            next[number as usize] += 1;
        }
        let mut run = RunWriter::new(spill);
        for number in order {
            let range = ends[number as usize] as usize..ends[number as usize + 1] as usize;
            let positions = &mut positions[range];
            positions.sort_unstable();
            run.text(self.get(number), positions)?;
        }
        run.finish()?;
        *self = Texts::default();
        Ok(true)
    }
}

/// Takes hashes as they are.
#[derive(Default)]
struct Hashed(u64);

impl Hasher for Hashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("keys are numbers")
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_that_is_nearly_full_counts_with_the_next() {
        let mut table: HashMap<u64, u32, BuildHasherDefault<Hashed>> = HashMap::default();
        let mut last = (0, 0);
        for number in 0..100_000_u32 {
            let room = table.capacity();
            // As the library lays it out: a number with its hash, and a byte.
            let places =
                |room: usize| if room == 0 { 0 } else { (room + 1).next_power_of_two() * PLACE_BYTES };
            let (before, counted) = (table_bytes(table.len(), room), places(room));
            assert!(before >= counted, "{number}: {before} of {counted}");
            table.insert(u64::from(number).wrapping_mul(0x9E37_79B9_7F4A_7C15), number);
            if table.capacity() > room && room > 0 {
                assert!(
                    before >= counted + places(table.capacity()),
                    "{number}: {before} before it grew from {room}"
                );
                last = (room, before);
            }
        }
        assert!(last.0 > 50_000, "{last:?}");
        assert_eq!(table_bytes(60_000, 114_688), 131_072 * PLACE_BYTES);
    }
}
