//! Where each list lies, and how far its vectors are from its head: resident, 24 bytes a list.
//!
//! ```text
//! body = per list { offset: u32 in units of 512 from the body of codes, primaries: u32, replicas: u32,
//!                   radius: f32, hash: u64 }, 24 bytes
//! ```
//! The hash is seeded with the index's uuid and the list's number, so a read that lands on another list, or
//! on the same list of an older index, fails like a damaged one.
use std::ops::Range;
use std::path::Path;

use xxhash_rust::xxh3::{Xxh3, xxh3_64_with_seed};

use super::{ListLayout, OpenError, UNIT_BYTES};

/// Bytes of one entry on disk.
const ENTRY_BYTES: usize = 24;
/// Entries read at a time.
const PIECE_ENTRIES: usize = 1024;

/// Bytes of a list that are hashed at once: 0.1 ms.
const PIECE_BYTES: usize = 1 << 20;

/// One list's place and size.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DirectoryEntry {
    /// Where the list starts, in units of 512 bytes from the body of the codes section.
    pub offset_units: u32,
    /// Vectors whose primary list this is.
    pub primaries: u32,
    /// Further copies filed here.
    pub replicas: u32,
    /// Its [`list_radius`](crate::list_radius); 0 without primaries.
    pub radius: f32,
    /// [`list_hash`] of the list's bytes, padding included.
    pub hash: u64,
}

impl DirectoryEntry {
    /// Entries of the list.
    pub fn count(&self) -> usize {
        self.primaries as usize + self.replicas as usize
    }

    /// Appends the entry as stored.
    pub fn write(&self, out: &mut Vec<u8>) {
        for word in [self.offset_units, self.primaries, self.replicas, self.radius.to_bits()] {
            out.extend_from_slice(&word.to_le_bytes());
        }
        out.extend_from_slice(&self.hash.to_le_bytes());
    }
}

/// Hash of list `list`'s bytes in the index `uuid`.
pub fn list_hash(uuid: u128, list: u32, bytes: &[u8]) -> u64 {
    xxh3_64_with_seed(bytes, list_seed(uuid, list))
}

/// As [`list_hash`]; `go_on` is asked after each MiB. Nothing where it says no.
pub fn list_hash_while(uuid: u128, list: u32, bytes: &[u8], go_on: &mut dyn FnMut() -> bool) -> Option<u64> {
    if bytes.len() <= PIECE_BYTES {
        return Some(list_hash(uuid, list, bytes));
    }
    let mut hash = Xxh3::with_seed(list_seed(uuid, list));
    for piece in bytes.chunks(PIECE_BYTES) {
        if !go_on() {
            return None;
        }
        hash.update(piece);
    }
    Some(hash.digest())
}

fn list_seed(uuid: u128, list: u32) -> u64 {
    // CAST: the uuid is itself a hash, so its low half will do.
    (uuid as u64).wrapping_add(u64::from(list).wrapping_mul(0x9E37_79B9_7F4A_7C15))
}

/// The directory of one segment. What is known of a list lies together: a search reads a cache line or two for each of its lists,
/// far apart.
#[derive(Debug)]
pub struct Directory {
    /// One for each list, and one whose first position is the number of vectors.
    records: Box<[Record]>,
}

/// A list's entry, with the position of its first primary in place of how many these are.
#[derive(Debug, Clone, Copy, Default)]
struct Record {
    first_position: u32,
    offset_units: u32,
    replicas: u32,
    radius: f32,
    hash: u64,
}

impl Directory {
    /// Reads a body of `body_bytes` piece by piece: `read` fills its buffer with the next bytes. A body held
    /// whole beside the directory would stay with the allocator afterwards.
    ///
    /// # Errors
    /// [`OpenError::Field`] when lists overlap, leave gaps, end past the body of codes or do not add up; what
    /// `read` fails with.
    pub(crate) fn read(
        path: &Path,
        body_bytes: u64,
        expected: DirectoryShape,
        read: &mut dyn FnMut(&mut [u8]) -> Result<(), OpenError>,
    ) -> Result<Directory, OpenError> {
        let lists = usize::try_from(body_bytes / ENTRY_BYTES as u64).unwrap_or(usize::MAX);
        if lists as u64 != expected.lists || lists as u64 * ENTRY_BYTES as u64 != body_bytes {
            let found = format!("{body_bytes} bytes");
            return Err(OpenError::field(path, "directory", found, format!("{} lists", expected.lists)));
        }
        let mut records = vec![Record::default(); lists + 1].into_boxed_slice();
        let mut piece = vec![[0; ENTRY_BYTES]; PIECE_ENTRIES.min(lists)];
        let (mut position, mut unit) = (0_u64, 0_u64);
        for (list, record) in records.iter_mut().take(lists).enumerate() {
            let at = list % PIECE_ENTRIES;
            if at == 0 {
                piece.truncate(lists - list);
                read(piece.as_flattened_mut())?;
            }
            let Some(entry) = piece.get(at).map(parse_entry) else { unreachable!("a piece was just read") };
            let is_radius = entry.radius.is_finite() && entry.radius.is_sign_positive();
            if !is_radius || entry.primaries == 0 && entry.radius > 0.0 {
                let expected = if entry.primaries == 0 { "0" } else { "a finite number of 0 or more" };
                return Err(OpenError::field(path, format!("radius of list {list}"), entry.radius, expected));
            }
            if u64::from(entry.offset_units) != unit {
                return Err(OpenError::field(
                    path,
                    format!("offset of list {list}"),
                    entry.offset_units,
                    unit,
                ));
            }
            let first_position = position as u32; // CAST: at most `vectors`, which the header bounds
            position += u64::from(entry.primaries);
            if position > expected.vectors {
                let what = format!("primaries up to list {list}");
                return Err(OpenError::field(path, what, position, expected.vectors));
            }
            // No overflow: counts are below 2^32 and entries smaller than 2^18.
            let bytes = expected.layout.list_bytes(entry.primaries, entry.replicas);
            unit += (bytes / UNIT_BYTES) as u64; // CAST: usize is 64 bits
            if unit * UNIT_BYTES as u64 > expected.codes_bytes {
                let what = format!("end of list {list}");
                return Err(OpenError::field(path, what, unit * UNIT_BYTES as u64, expected.codes_bytes));
            }
            let DirectoryEntry { offset_units, replicas, radius, hash, .. } = entry;
            *record = Record { first_position, offset_units, replicas, radius, hash };
        }
        if position != expected.vectors {
            return Err(OpenError::field(path, "primaries of all lists", position, expected.vectors));
        }
        if unit * UNIT_BYTES as u64 != expected.codes_bytes {
            let found = unit * UNIT_BYTES as u64;
            return Err(OpenError::field(path, "end of the last list", found, expected.codes_bytes));
        }
        if let Some(end) = records.last_mut() {
            end.first_position = position as u32; // CAST: as before
        }
        Ok(Directory { records })
    }

    /// Number of lists.
    pub(crate) fn lists(&self) -> usize {
        self.records.len() - 1
    }

    /// The entry of one list, which must exist.
    #[expect(
        clippy::indexing_slicing,
        reason = "list numbers come from heads, one per list, checked at open"
    )]
    pub fn entry(&self, list: u32) -> DirectoryEntry {
        let Record { first_position, offset_units, replicas, radius, hash } = self.records[list as usize];
        let primaries = self.first_position(list + 1) - first_position;
        DirectoryEntry { offset_units, primaries, replicas, radius, hash }
    }

    /// Position of the list's first primary.
    #[expect(
        clippy::indexing_slicing,
        reason = "list numbers come from heads, one per list, checked at open"
    )]
    pub fn first_position(&self, list: u32) -> u32 {
        self.records[list as usize].first_position
    }

    /// Positions of a list's primaries.
    pub fn positions(&self, list: u32) -> Range<u32> {
        self.first_position(list)..self.first_position(list + 1)
    }

    /// The list whose primaries hold a position, which must exist; it is `from` or one after it.
    pub fn list_of(&self, position: u32, from: u32) -> u32 {
        let rest = self.records.get(from as usize + 1..).unwrap_or_default();
        // Near `from` where many lists are asked for.
        let near = rest.len().min(8);
        let (near, far) = rest.split_at(near);
        let is_after = |next: &Record| next.first_position > position;
        let after = match near.last() {
            Some(last) if !is_after(last) => near.len() + far.partition_point(|next| !is_after(next)),
            _ => near.partition_point(|next| !is_after(next)),
        };
        from + after as u32 // CAST: lists are numbered by u32
    }

    /// Copies in all lists together.
    pub(crate) fn copies(&self) -> u64 {
        let primaries = self.records.last().map_or(0, |end| end.first_position.into());
        primaries + self.records.iter().map(|record| u64::from(record.replicas)).sum::<u64>()
    }

    /// Resident bytes.
    pub(crate) fn memory_bytes(&self) -> usize {
        size_of_val(&*self.records)
    }
}

/// What a directory must agree with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DirectoryShape {
    /// Lists there are.
    pub lists: u64,
    /// Vectors there are.
    pub vectors: u64,
    /// Shape of a list.
    pub layout: ListLayout,
    /// Bytes of the codes section's body.
    pub codes_bytes: u64,
}

fn parse_entry(raw: &[u8; ENTRY_BYTES]) -> DirectoryEntry {
    let (words, _) = raw.as_chunks::<4>();
    let [offset_units, primaries, replicas, radius, low, high] =
        <[[u8; 4]; 6]>::try_from(words).unwrap_or_default().map(u32::from_le_bytes);
    let hash = u64::from(high) << 32 | u64::from(low);
    DirectoryEntry { offset_units, primaries, replicas, radius: f32::from_bits(radius), hash }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Metric;
    use crate::format::{FullLayout, IdBytes};

    fn shape() -> DirectoryShape {
        let layout = ListLayout::Full(FullLayout::new(96, Metric::L2, IdBytes::Four));
        DirectoryShape { lists: 3, vectors: 12, layout, codes_bytes: 4 * 512 }
    }

    fn entries() -> [DirectoryEntry; 3] {
        [
            DirectoryEntry { offset_units: 0, primaries: 5, replicas: 1, radius: 0.5, hash: 1 },
            DirectoryEntry { offset_units: 2, primaries: 0, replicas: 0, radius: 0.0, hash: 2 },
            DirectoryEntry { offset_units: 2, primaries: 7, replicas: 0, radius: 7.5, hash: u64::MAX - 5 },
        ]
    }

    fn parse(entries: &[DirectoryEntry]) -> Result<Directory, OpenError> {
        let mut body = Vec::new();
        entries.iter().for_each(|e| e.write(&mut body));
        parse_body(&body)
    }

    fn parse_body(body: &[u8]) -> Result<Directory, OpenError> {
        let mut rest = body;
        Directory::read(Path::new("d"), body.len() as u64, shape(), &mut |out| {
            let (next, left) = rest.split_at(out.len());
            out.copy_from_slice(next);
            rest = left;
            Ok(())
        })
    }

    #[test]
    fn round_trips() {
        let directory = parse(&entries()).unwrap();
        for (list, entry) in (0..).zip(entries()) {
            assert_eq!(directory.entry(list), entry);
        }
        assert_eq!(directory.first_position(2), 5);
        assert_eq!(directory.copies(), 13);
    }

    #[test]
    fn contradictions_are_refused() {
        for damage in 0..8 {
            let mut wrong = entries();
            match damage {
                0 => wrong[1].offset_units = 1,
                1 => wrong[2].primaries = 8,
                2 => wrong[0].replicas = u32::MAX,
                3 => wrong[0].radius = f32::NAN,
                4 => wrong[0].radius = f32::INFINITY,
                5 => wrong[0].radius = -0.5,
                6 => wrong[1].radius = 0.5,
                _ => wrong[2].primaries = 6,
            }
            assert!(matches!(parse(&wrong), Err(OpenError::Field { .. })), "{damage}");
        }
        assert!(parse(&entries()[..2]).is_err());
    }

    #[test]
    fn a_hash_knows_its_list_and_index() {
        assert_ne!(list_hash(1, 0, b"x"), list_hash(1, 1, b"x"));
        assert_ne!(list_hash(1, 0, b"x"), list_hash(2, 0, b"x"));
    }

    #[test]
    fn a_list_hashes_to_the_same_in_pieces_and_no_further_than_told() {
        let bytes: Vec<u8> = (0..PIECE_BYTES * 7 / 2).map(|i| (i % 251) as u8).collect();
        for len in [0, 1, PIECE_BYTES, PIECE_BYTES + 1, bytes.len()] {
            let found = list_hash_while(3, 8, &bytes[..len], &mut || true);
            assert_eq!(found, Some(list_hash(3, 8, &bytes[..len])), "{len} bytes");
        }
        for no in 1..=4 {
            let mut asked = 0;
            let found = list_hash_while(3, 8, &bytes, &mut || {
                asked += 1;
                asked < no
            });
            assert_eq!((found, asked), (None, no));
        }
    }
}
