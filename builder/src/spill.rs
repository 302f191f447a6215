//! Scratch files that sort records into groups without holding them in memory.
//!
//! Records of one fixed size are appended to a group each; every group has a small buffer that is written
//! as one extent of a single file when it is full. Reading a group gathers its extents in order, so what
//! comes back depends on the order of appending alone, not on the sizes of the buffers.
use std::io::Write;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use fs_err as fs;
use serde::{Deserialize, Serialize};

use crate::BuildError;

/// Where the records of each group lie in a spill file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct SpillIndex {
    record_bytes: usize,
    /// Per group, its extents in order: offset and length in bytes.
    groups: Vec<Vec<(u64, u64)>>,
    file_bytes: u64,
}

impl SpillIndex {
    /// Number of groups.
    pub(crate) fn groups(&self) -> usize {
        self.groups.len()
    }

    /// Records of a group.
    pub(crate) fn records(&self, group: usize) -> u64 {
        self.groups[group].iter().map(|&(_, bytes)| bytes).sum::<u64>() / self.record_bytes as u64
    }
}

/// Writes a spill file.
pub(crate) struct SpillWriter {
    file: fs::File,
    index: SpillIndex,
    buffers: Vec<Vec<u8>>,
    buffer_bytes: usize,
}

impl SpillWriter {
    /// A new file of `groups` groups whose buffers take at most `memory_bytes` together.
    pub(crate) fn create(
        path: &Path,
        groups: usize,
        record_bytes: usize,
        memory_bytes: u64,
    ) -> Result<SpillWriter, BuildError> {
        let share = usize::try_from(memory_bytes / groups.max(1) as u64).unwrap_or(usize::MAX);
        // A whole number of records, between one and what makes a good sequential write.
        let buffer_bytes = (share.min(1 << 20) / record_bytes).max(1) * record_bytes;
        Ok(SpillWriter {
            file: fs::File::create(path)?,
            index: SpillIndex { record_bytes, groups: vec![Vec::new(); groups], file_bytes: 0 },
            buffers: vec![Vec::new(); groups],
            buffer_bytes,
        })
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
        debug_assert_eq!(buffer.len() % self.index.record_bytes, 0);
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
        self.file.write_all(buffer)?;
        let bytes = buffer.len() as u64;
        let extents = &mut self.index.groups[group];
        match extents.last_mut() {
            // Extents that happen to touch are one.
            Some((offset, length)) if *offset + *length == self.index.file_bytes => *length += bytes,
            _ => extents.push((self.index.file_bytes, bytes)),
        }
        self.index.file_bytes += bytes;
        buffer.clear();
        Ok(())
    }

    /// Writes what is buffered and makes the file durable.
    pub(crate) fn finish(mut self) -> Result<SpillIndex, BuildError> {
        for group in 0..self.buffers.len() {
            self.flush(group)?;
            self.buffers[group] = Vec::new();
        }
        self.file.sync_data()?;
        Ok(self.index)
    }
}

/// Reads a finished spill file.
pub(crate) struct SpillReader {
    path: PathBuf,
    file: fs::File,
    index: SpillIndex,
}

impl SpillReader {
    /// Opens a file whose index was kept in the checkpoint.
    pub(crate) fn open(path: &Path, index: SpillIndex) -> Result<SpillReader, BuildError> {
        let file = fs::File::open(path)?;
        let found = file.metadata()?.len();
        if found != index.file_bytes {
            let what = format!("{found} bytes, expected {}", index.file_bytes);
            return Err(BuildError::Scratch { path: path.to_owned(), what });
        }
        Ok(SpillReader { path: path.to_owned(), file, index })
    }

    /// Reads the records `range` of a group into `out`, replacing what it held.
    pub(crate) fn read(&self, group: usize, range: Range<u64>, out: &mut Vec<u8>) -> Result<(), BuildError> {
        let record = self.index.record_bytes as u64;
        let (mut skip, mut left) = (range.start * record, (range.end - range.start) * record);
        out.clear();
        out.reserve_exact(left as usize); // CAST: usize is 64 bits
        for &(offset, bytes) in &self.index.groups[group] {
            let skipped = skip.min(bytes);
            let take = (bytes - skipped).min(left);
            skip -= skipped;
            if take == 0 {
                continue;
            }
            let start = out.len();
            out.resize(start + take as usize, 0); // CAST: usize is 64 bits
            self.file.file().read_exact_at(&mut out[start..], offset + skipped).map_err(|e| {
                BuildError::Scratch { path: self.path.clone(), what: format!("reading failed: {e}") }
            })?;
            left -= take;
        }
        assert_eq!(left, 0, "a range past the group's end");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_come_back_in_order_whatever_the_buffers() {
        let dir = tempfile::tempdir().unwrap();
        for memory in [0, 40, 1000, 1 << 20] {
            let path = dir.path().join(format!("spill-{memory}"));
            let mut writer = SpillWriter::create(&path, 3, 4, memory).unwrap();
            for i in 0..1000_u32 {
                writer.push((i % 3) as usize, &[&i.to_le_bytes()[..1], &i.to_le_bytes()[1..]]).unwrap();
            }
            let index = writer.finish().unwrap();
            assert_eq!(index.records(0), 334);
            let reader = SpillReader::open(&path, index).unwrap();
            let mut out = Vec::new();
            reader.read(1, 10..12, &mut out).unwrap();
            assert_eq!(out, [31_u32.to_le_bytes(), 34_u32.to_le_bytes()].concat());
            reader.read(2, 0..333, &mut out).unwrap();
            assert_eq!(out.len(), 333 * 4);
            assert_eq!(out[out.len() - 4..], 998_u32.to_le_bytes());
        }
    }

    #[test]
    fn a_truncated_file_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("spill");
        let mut writer = SpillWriter::create(&path, 1, 4, 0).unwrap();
        writer.push(0, &[b"abcd"]).unwrap();
        let index = writer.finish().unwrap();
        fs::write(&path, b"abc").unwrap();
        assert!(matches!(SpillReader::open(&path, index), Err(BuildError::Scratch { .. })));
    }
}
