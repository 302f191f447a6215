//! Scratch files that sort records into groups without holding them in memory.
//!
//! ```text
//! file   = extents | index
//! extent = records of one group, at most a buffer full
//! index  = per group { extents: u32, per extent { offset: u64, bytes: u32, hash: u64 } }
//! ```
//! Records of one fixed size are appended to a group each; every group has a buffer that is written as one extent when it
//! is full. Reading a group gathers its extents in order, so what comes back depends on the order of appending alone, not
//! on the sizes of the buffers. Every extent is checked by its hash when it is read, the index by the one that the
//! checkpoint keeps.
use std::ops::Range;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use spandrel_io::{Blob, FileWriter, Store};
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use crate::BuildError;

/// Least and most bytes of a buffer, one record apart: less makes many extents, more does not write faster.
const BUFFER_BYTES_MIN: usize = 64 << 10;
const BUFFER_BYTES_MAX: usize = 1 << 20;
/// Bytes of an extent in the index.
const EXTENT_BYTES: usize = 20;
/// Bytes of memory that an extent takes while it is written or read, at most.
const EXTENT_MEMORY: u64 = 64;

/// Records of a full buffer that may take `memory_bytes`.
fn buffer_records(record_bytes: usize, memory_bytes: u64) -> usize {
    let bytes = usize::try_from(memory_bytes).unwrap_or(usize::MAX);
    (bytes.clamp(BUFFER_BYTES_MIN, BUFFER_BYTES_MAX) / record_bytes).max(1)
}

/// Records of the smallest buffer.
pub(crate) fn buffer_records_min(record_bytes: usize) -> usize {
    buffer_records(record_bytes, 0)
}

/// Least memory that writing `bytes` of records into `groups` groups takes: the smallest buffers, and the index.
pub(crate) fn memory_min(groups: u64, record_bytes: usize, bytes: u64) -> u64 {
    let buffer = (buffer_records_min(record_bytes) * record_bytes) as u64; // CAST: widening
    groups * buffer + index_memory(groups, record_bytes, bytes)
}

/// Memory that the index of such a file takes.
pub(crate) fn index_memory(groups: u64, record_bytes: usize, bytes: u64) -> u64 {
    let buffer = (buffer_records_min(record_bytes) * record_bytes) as u64; // CAST: widening
    (groups + bytes / buffer) * EXTENT_MEMORY
}

/// What the checkpoint keeps of a spill file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Spill {
    record_bytes: usize,
    groups: usize,
    /// Where the index starts: after the extents.
    index_at: u64,
    index_hash: u64,
    file_bytes: u64,
}

/// The hash of an index, and of the shape of the records that it is of.
fn index_hash(index: &[u8], record_bytes: usize, groups: usize) -> u64 {
    let mut hash = Xxh3::new();
    hash.update(index);
    for number in [record_bytes, groups] {
        hash.update(&(number as u64).to_le_bytes()); // CAST: widening
    }
    hash.digest()
}

/// Where some records of a group are.
#[derive(Debug, Clone, Copy)]
struct Extent {
    offset: u64,
    bytes: u32,
    hash: u64,
}

/// Writes a spill file.
pub(crate) struct SpillWriter {
    file: FileWriter,
    record_bytes: usize,
    buffers: Vec<Vec<u8>>,
    buffer_bytes: usize,
    /// By group, in the order of writing.
    extents: Vec<(u32, Extent)>,
}

impl SpillWriter {
    /// A new file of `groups` groups whose buffers take at most `memory_bytes` together, but no less than
    /// [`memory_min`] says.
    pub(crate) fn create(
        store: &dyn Store,
        name: &str,
        groups: usize,
        record_bytes: usize,
        memory_bytes: u64,
    ) -> Result<SpillWriter, BuildError> {
        let share = memory_bytes / groups.max(1) as u64; // CAST: widening
        Ok(SpillWriter {
            file: store.create(name)?,
            record_bytes,
            buffers: vec![Vec::new(); groups],
            buffer_bytes: buffer_records(record_bytes, share) * record_bytes,
            extents: Vec::new(),
        })
    }

    /// Begins one more group, and gives its number.
    pub(crate) fn add_group(&mut self) -> usize {
        self.buffers.push(Vec::new());
        self.buffers.len() - 1
    }

    /// Appends one record, given in pieces, to a group.
    pub(crate) fn push(&mut self, group: usize, pieces: &[&[u8]]) -> Result<(), BuildError> {
        let buffer = &mut self.buffers[group];
        if buffer.capacity() == 0 {
            buffer.reserve_exact(self.buffer_bytes);
        }
        for piece in pieces {
            buffer.extend_from_slice(piece);
        }
        debug_assert_eq!(buffer.len() % self.record_bytes, 0);
        if buffer.len() >= self.buffer_bytes {
            self.flush(group)?;
        }
        Ok(())
    }

    fn flush(&mut self, group: usize) -> Result<(), BuildError> {
        let buffer = &mut self.buffers[group];
        if buffer.is_empty() {
            return Ok(());
        }
        // CAST: a buffer is at most BUFFER_BYTES_MAX or a record
        let extent = Extent { offset: self.file.bytes(), bytes: buffer.len() as u32, hash: xxh3_64(buffer) };
        self.file.append(buffer)?;
        self.extents.push((group as u32, extent)); // CAST: groups are fewer than 2^32
        buffer.clear();
        Ok(())
    }

    /// Writes what is buffered of a group that nothing is appended to any more.
    pub(crate) fn finish_group(&mut self, group: usize) -> Result<(), BuildError> {
        self.flush(group)?;
        self.buffers[group] = Vec::new();
        Ok(())
    }

    /// Writes what is buffered and the index, and makes the file durable.
    pub(crate) fn finish(mut self) -> Result<Spill, BuildError> {
        let groups = self.buffers.len();
        for group in 0..groups {
            self.finish_group(group)?;
        }
        self.extents.sort_by_key(|&(group, _)| group);
        let mut index = Vec::with_capacity(4 * groups + EXTENT_BYTES * self.extents.len());
        let mut rest = self.extents.as_slice();
        for group in 0..groups {
            let count = rest.partition_point(|&(of, _)| of as usize == group);
            index.extend_from_slice(&(count as u32).to_le_bytes()); // CAST: fewer than 2^32 extents
            for (_, extent) in &rest[..count] {
                index.extend_from_slice(&extent.offset.to_le_bytes());
                index.extend_from_slice(&extent.bytes.to_le_bytes());
                index.extend_from_slice(&extent.hash.to_le_bytes());
            }
            rest = &rest[count..];
        }
        let index_at = self.file.bytes();
        self.file.append(&index)?;
        let file_bytes = self.file.finish()?.bytes;
        let record_bytes = self.record_bytes;
        let index_hash = index_hash(&index, record_bytes, groups);
        Ok(Spill { record_bytes, groups, index_at, index_hash, file_bytes })
    }
}

/// Reads a finished spill file.
#[derive(Debug)]
pub(crate) struct SpillReader {
    blob: Arc<dyn Blob>,
    record_bytes: usize,
    extents: Vec<Extent>,
    /// End of each group in `extents`, and the group's bytes.
    groups: Vec<(usize, u64)>,
}

impl SpillReader {
    /// Opens a file of which the checkpoint kept `spill`.
    pub(crate) fn open(store: &dyn Store, name: &str, spill: &Spill) -> Result<SpillReader, BuildError> {
        let blob = store.open(name)?;
        let damaged = |what| BuildError::Scratch { path: store.path(name), what };
        if blob.len() != spill.file_bytes {
            return Err(damaged(format!("{} bytes, expected {}", blob.len(), spill.file_bytes)));
        }
        // CAST: usize is 64 bits
        let mut index = vec![0; spill.file_bytes.saturating_sub(spill.index_at) as usize];
        read_at(&*blob, &mut index, spill.index_at)?;
        let found = index_hash(&index, spill.record_bytes, spill.groups);
        let expected = spill.index_hash;
        if found != expected {
            return Err(damaged(format!("index of extents: hash {found:016x}, expected {expected:016x}")));
        }
        let mut reader = SpillReader {
            blob,
            record_bytes: spill.record_bytes,
            extents: Vec::with_capacity(index.len() / EXTENT_BYTES),
            groups: Vec::with_capacity(spill.groups),
        };
        let mut rest = index.as_slice();
        for _ in 0..spill.groups {
            let count = take(&mut rest).map_or(0, u32::from_le_bytes);
            let mut bytes = 0;
            for _ in 0..count {
                let (Some(offset), Some(len), Some(hash)) =
                    (take(&mut rest), take(&mut rest), take(&mut rest))
                else {
                    return Err(damaged("index of extents: too short".to_owned()));
                };
                let len = u32::from_le_bytes(len);
                bytes += u64::from(len);
                reader.extents.push(Extent {
                    offset: u64::from_le_bytes(offset),
                    bytes: len,
                    hash: u64::from_le_bytes(hash),
                });
            }
            reader.groups.push((reader.extents.len(), bytes));
        }
        Ok(reader)
    }

    pub(crate) fn groups(&self) -> usize {
        self.groups.len()
    }

    /// Records of a group.
    pub(crate) fn records(&self, group: usize) -> u64 {
        self.groups[group].1 / self.record_bytes as u64 // CAST: widening
    }

    /// Reads the records `range` of a group into `out`, replacing what it held.
    ///
    /// # Errors
    /// [`BuildError::Scratch`] when bytes differ from those that were written.
    pub(crate) fn read(&self, group: usize, range: Range<u64>, out: &mut Vec<u8>) -> Result<(), BuildError> {
        let record = self.record_bytes as u64; // CAST: widening
        let (mut skip, mut left) = (range.start * record, (range.end - range.start) * record);
        out.clear();
        out.reserve_exact(left as usize); // CAST: usize is 64 bits
        let first = group.checked_sub(1).map_or(0, |before| self.groups[before].0);
        let mut whole = Vec::new();
        for extent in &self.extents[first..self.groups[group].0] {
            let bytes = u64::from(extent.bytes);
            let skipped = skip.min(bytes);
            let wanted = (bytes - skipped).min(left);
            skip -= skipped;
            if wanted == 0 {
                continue;
            }
            left -= wanted;
            // An extent is checked as a whole, also where only a part of it is wanted.
            if wanted == bytes {
                let start = out.len();
                out.resize(start + extent.bytes as usize, 0);
                self.read_extent(extent, &mut out[start..])?;
            } else {
                whole.resize(extent.bytes as usize, 0);
                self.read_extent(extent, &mut whole)?;
                out.extend_from_slice(&whole[skipped as usize..][..wanted as usize]); // CAST: within an extent
            }
        }
        assert_eq!(left, 0, "a range past the group's end");
        Ok(())
    }

    fn read_extent(&self, extent: &Extent, out: &mut [u8]) -> Result<(), BuildError> {
        read_at(&*self.blob, out, extent.offset)?;
        let (found, expected) = (xxh3_64(out), extent.hash);
        if found == expected {
            return Ok(());
        }
        let (bytes, offset) = (extent.bytes, extent.offset);
        let what = format!("{bytes} bytes at {offset}: hash {found:016x}, expected {expected:016x}");
        Err(BuildError::Scratch { path: self.blob.path().to_owned(), what })
    }
}

fn read_at(blob: &dyn Blob, out: &mut [u8], offset: u64) -> Result<(), BuildError> {
    let failed =
        |e| BuildError::Scratch { path: blob.path().to_owned(), what: format!("reading failed: {e}") };
    blob.read_into(offset, out).map_err(failed)
}

/// Takes the first `N` bytes off the front.
fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (first, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*first)
}

#[cfg(test)]
mod tests {
    use fs_err as fs;
    use spandrel_io::FolderStore;

    use super::*;

    #[test]
    fn groups_come_back_in_order_with_buffers_of_any_size() {
        let dir = tempfile::tempdir().unwrap();
        let store = FolderStore::new(dir.path());
        for memory in [0, 200_000, 1 << 20] {
            let mut writer = SpillWriter::create(&store, "spill", 3, 1000, memory).unwrap();
            let record = |i: u32| [i.to_le_bytes().as_slice(), &[i as u8; 996]].concat();
            for i in 0..1000_u32 {
                let record = record(i);
                writer.push((i % 3) as usize, &[&record[..1], &record[1..]]).unwrap();
            }
            let spill = writer.finish().unwrap();
            let reader = SpillReader::open(&store, "spill", &spill).unwrap();
            assert_eq!((reader.groups(), reader.records(0)), (3, 334));
            let mut out = Vec::new();
            reader.read(1, 10..12, &mut out).unwrap();
            assert_eq!(out, [record(31), record(34)].concat());
            reader.read(2, 0..333, &mut out).unwrap();
            assert_eq!(out.len(), 333 * 1000);
            assert_eq!(out[out.len() - 1000..], record(998));
            reader.read(2, 60..200, &mut out).unwrap();
            assert_eq!((&out[..1000], out.len()), (record(182).as_slice(), 140 * 1000));
        }
    }

    #[test]
    fn buffers_have_a_floor() {
        let dir = tempfile::tempdir().unwrap();
        let store = FolderStore::new(dir.path());
        let mut writer = SpillWriter::create(&store, "spill", 20, 100, 0).unwrap();
        for i in 0..60_000 {
            writer.push(i % 20, &[&[7; 100]]).unwrap();
        }
        let extents = writer.extents.len();
        assert_eq!(extents, 20 * (3000 / buffer_records_min(100)));
        let spill = writer.finish().unwrap();
        let reader = SpillReader::open(&store, "spill", &spill).unwrap();
        assert_eq!(reader.extents.len(), extents + 20);
        assert!(index_memory(20, 100, 6_000_000) >= reader.extents.len() as u64 * 56);
        // What the checkpoint keeps does not grow with them.
        assert!(serde_json::to_vec(&spill).unwrap().len() < 200);
    }

    #[test]
    fn damage_anywhere_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let store = FolderStore::new(dir.path());
        let path = dir.path().join("spill");
        let mut writer = SpillWriter::create(&store, "spill", 2, 4, 0).unwrap();
        for i in 0..40_000_u32 {
            writer.push((i % 2) as usize, &[&i.to_le_bytes()]).unwrap();
        }
        let spill = writer.finish().unwrap();
        let good = fs::read(&path).unwrap();
        let read_all = || -> Result<(), BuildError> {
            let reader = SpillReader::open(&store, "spill", &spill)?;
            let mut out = Vec::new();
            (0..2).try_for_each(|group| reader.read(group, 0..reader.records(group), &mut out))
        };
        read_all().unwrap();
        for at in (0..good.len()).step_by(997).chain([good.len() - 1]) {
            let mut bad = good.clone();
            bad[at] ^= 1;
            fs::write(&path, &bad).unwrap();
            let error = read_all().unwrap_err();
            assert!(matches!(error, BuildError::Scratch { .. }), "byte {at}: {error}");
            assert!(error.to_string().contains("hash"), "byte {at}: {error}");
        }
        for bad in [&good[..good.len() - 1], &[], &[&good[..], &[0]].concat()] {
            fs::write(&path, bad).unwrap();
            assert!(matches!(read_all(), Err(BuildError::Scratch { .. })));
        }
        // A part of an extent is not believed without the rest of it.
        let mut bad = good.clone();
        bad[60_000] ^= 1;
        fs::write(&path, &bad).unwrap();
        let reader = SpillReader::open(&store, "spill", &spill).unwrap();
        assert!(reader.read(0, 0..2, &mut Vec::new()).is_err());
    }
}
