//! Answers on their way: in files by ranges of rows, and then in the order of rows.
//!
//! ```text
//! record = row u64 | k x id u64 | k x distance f32        a missing neighbour has all bits of its id, and infinity
//! ```
use std::io::{BufWriter, Read as _, Seek as _, SeekFrom, Write as _};
use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use fs_err::{File, OpenOptions};
use serde::{Deserialize, Serialize};
use spandrel_datasets::{AnswerWriter, Truth};
use spandrel_engine::JoinGroup;
use xxhash_rust::xxh3::xxh3_64;

use crate::{Advised, Meter, Session};

const BUFFER_BYTES: usize = 64 << 10;
const ANEW: &str = "remove the folder to begin anew";

/// What a file of answers holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileState {
    pub(super) bytes: u64,
    /// Sum of the hashes of its records.
    pub(super) hash: u64,
}

/// How answers are written in the order of rows.
pub(super) struct Ordering<'a> {
    pub(super) rows: u64,
    /// Memory for those that are put in order at a time.
    pub(super) memory_bytes: u64,
    pub(super) session: &'a Session,
    pub(super) meter: &'a Meter,
}

/// How answers are cut into files.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cut<'a> {
    pub(super) files: &'a [FileState],
    /// Rows of each file.
    pub(super) file_rows: u64,
    pub(super) k: usize,
}

pub(super) struct Answers {
    files: Vec<Part>,
    file_rows: u64,
    k: usize,
    record: Vec<u8>,
}

struct Part {
    path: PathBuf,
    writer: BufWriter<File>,
    state: FileState,
}

impl Answers {
    /// Bytes of the answer to a row.
    pub(super) fn record_bytes(k: usize) -> usize {
        8 + 12 * k
    }

    /// Opens the files as long as they were at the last checkpoint: what came after it goes.
    pub(super) fn open(dir: &Path, cut: Cut<'_>) -> anyhow::Result<Answers> {
        let open = |(number, &state): (usize, &FileState)| -> anyhow::Result<Part> {
            let path = dir.join(format!("answers-{number:03}"));
            let mut options = OpenOptions::new();
            let mut file = options.create(true).truncate(false).read(true).write(true).open(&path)?;
            let found = file.metadata()?.len();
            let bytes = state.bytes;
            if found < bytes {
                let message = format!("{}: {found} bytes, expected {bytes} at least", path.display());
                return Err(Advised::new(message, ANEW).into());
            }
            file.set_len(bytes)?;
            file.seek(SeekFrom::Start(bytes))?;
            Ok(Part { path, writer: BufWriter::with_capacity(BUFFER_BYTES, file), state })
        };
        let files = cut.files.iter().enumerate().map(open).collect::<anyhow::Result<_>>()?;
        Ok(Answers { files, file_rows: cut.file_rows, k: cut.k, record: Vec::new() })
    }

    /// Appends the answers of a group. `ids` are those of the index in order, where queries are named by them.
    pub(super) fn put(&mut self, group: &JoinGroup, ids: Option<&[u64]>) -> anyhow::Result<()> {
        let Answers { files, file_rows, k, record } = self;
        for (&query, neighbours) in group.queries.iter().zip(&group.neighbours) {
            let row = match ids {
                None => query,
                Some(ids) => ids.partition_point(|&id| id < query) as u64, // CAST: widening
            };
            record.clear();
            record.extend_from_slice(&row.to_le_bytes());
            let missing = *k - neighbours.len();
            let ids = neighbours.iter().map(|near| near.id).chain(std::iter::repeat_n(Truth::NONE, missing));
            ids.for_each(|id| record.extend_from_slice(&id.to_le_bytes()));
            let distances = neighbours.iter().map(|near| near.distance);
            let distances = distances.chain(std::iter::repeat_n(f32::INFINITY, missing));
            distances.for_each(|distance| record.extend_from_slice(&distance.to_le_bytes()));
            let number = usize::try_from(row / *file_rows).unwrap_or(usize::MAX);
            let Some(part) = files.get_mut(number) else {
                unreachable!("rows are below the number that files were cut for")
            };
            part.writer.write_all(record).with_context(|| part.path.display().to_string())?;
            part.state.bytes += record.len() as u64; // CAST: widening
            part.state.hash = part.state.hash.wrapping_add(xxh3_64(record));
        }
        Ok(())
    }

    /// Makes durable what was appended: what each file holds.
    pub(super) fn sync(&mut self) -> anyhow::Result<Vec<FileState>> {
        for part in &mut self.files {
            part.writer.flush().with_context(|| part.path.display().to_string())?;
            part.writer.get_ref().sync_data()?;
        }
        Ok(self.files.iter().map(|part| part.state).collect())
    }

    /// Writes the answers of all rows in their order: all ids and then all distances, of rows that fit in memory at a time.
    pub(super) fn write(&mut self, out: &Path, ordering: &Ordering<'_>) -> anyhow::Result<()> {
        let (rows, k) = (ordering.rows, self.k);
        let mut writer = AnswerWriter::create(out, rows, k)?;
        let (ids, distances) = (8..8 + 8 * k, 8 + 8 * k..8 + 12 * k);
        self.in_order(ordering, &ids, &mut |end, ordered| {
            writer.ids(ordered.as_chunks::<8>().0.iter().map(|&id| u64::from_le_bytes(id)))?;
            ordering.meter.set(end, 2 * rows);
            Ok(())
        })?;
        if writer.keeps_distances() {
            self.in_order(ordering, &distances, &mut |end, ordered| {
                let all = ordered.as_chunks::<4>().0.iter();
                writer.distances(all.map(|&distance| f32::from_le_bytes(distance)))?;
                ordering.meter.set(rows + end, 2 * rows);
                Ok(())
            })?;
        }
        Ok(writer.finish()?)
    }

    /// Hands these bytes of the records to `take` in the order of rows, each time with the row after the last of them.
    fn in_order(
        &mut self,
        ordering: &Ordering<'_>,
        field: &Range<usize>,
        take: &mut dyn FnMut(u64, &[u8]) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let at_a_time = (ordering.memory_bytes / field.len() as u64).max(1); // CAST: widening, here and below
        for number in 0..self.files.len() {
            let first = number as u64 * self.file_rows;
            let end = ordering.rows.min(first + self.file_rows);
            for start in (first..end).step_by(usize::try_from(at_a_time).unwrap_or(usize::MAX)) {
                if ordering.session.is_stopped() {
                    let help = "the same command with --resume goes on";
                    return Err(Advised::new("stopped while writing".to_owned(), help).into());
                }
                let wanted = start..end.min(start.saturating_add(at_a_time));
                let ordered = self.ordered(number, first..end, &wanted, field)?;
                take(wanted.end, &ordered)?;
            }
        }
        Ok(())
    }

    /// These bytes of the records of some rows of a file, in the order of rows.
    fn ordered(
        &mut self,
        number: usize,
        rows: Range<u64>,
        wanted: &Range<u64>,
        field: &Range<usize>,
    ) -> anyhow::Result<Vec<u8>> {
        let (bytes, width) = (Self::record_bytes(self.k), field.len());
        let count = (wanted.end - wanted.start) as usize; // CAST: rows in memory
        let part = &mut self.files[number];
        let mut ordered = vec![0; count * width];
        let mut is_there = vec![false; count];
        let refused = |what: String| -> anyhow::Error {
            Advised::new(format!("{}: {what}", part.path.display()), ANEW).into()
        };
        part.writer.flush().with_context(|| part.path.display().to_string())?;
        let mut file = part.writer.get_ref();
        file.seek(SeekFrom::Start(0))?;
        let mut reader = std::io::BufReader::with_capacity(BUFFER_BYTES, file);
        let mut record = vec![0; bytes];
        let (mut seen, mut hash) = (0, 0_u64);
        for _ in 0..part.state.bytes / bytes as u64 {
            reader.read_exact(&mut record).with_context(|| part.path.display().to_string())?;
            let row = record.first_chunk::<8>().map_or(u64::MAX, |&row| u64::from_le_bytes(row));
            if !rows.contains(&row) {
                return Err(refused(format!("an answer to row {row}, which is not of this file")));
            }
            seen += 1;
            hash = hash.wrapping_add(xxh3_64(&record));
            if wanted.contains(&row) {
                let at = (row - wanted.start) as usize; // CAST: rows in memory
                if std::mem::replace(&mut is_there[at], true) {
                    return Err(refused(format!("two answers to row {row}")));
                }
                ordered[at * width..(at + 1) * width].copy_from_slice(&record[field.clone()]);
            }
        }
        let expected = rows.end - rows.start;
        if seen != expected {
            return Err(refused(format!("answers to {seen} rows, expected {expected}")));
        }
        if let Some(row) = (wanted.start..).zip(&is_there).find_map(|(row, there)| (!there).then_some(row)) {
            return Err(refused(format!("no answer to row {row}")));
        }
        if hash != part.state.hash {
            return Err(refused(format!("hash {hash:016x}, expected {:016x}", part.state.hash)));
        }
        Ok(ordered)
    }
}
