//! Answers on their way: in files by ranges of rows, and then in the order of rows.
//!
//! ```text
//! record = row u64 | k x id u64 | k x distance f32        a missing neighbour has all bits of its id, and infinity
//! ```
use std::io::{BufWriter, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use fs_err::{File, OpenOptions};
use spandrel_datasets::{AnswerWriter, Truth};
use spandrel_engine::JoinGroup;

use crate::Advised;

const BUFFER_BYTES: usize = 64 << 10;

/// How answers are cut into files.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cut<'a> {
    /// Bytes of each file.
    pub(super) bytes: &'a [u64],
    /// Rows of each file.
    pub(super) file_rows: u64,
    pub(super) k: usize,
}

/// The files.
pub(super) struct Answers {
    files: Vec<Part>,
    file_rows: u64,
    k: usize,
    record: Vec<u8>,
}

struct Part {
    path: PathBuf,
    writer: BufWriter<File>,
    bytes: u64,
}

impl Answers {
    /// Bytes of the answer to a row.
    pub(super) fn record_bytes(k: usize) -> usize {
        8 + 12 * k
    }

    /// Opens the files as long as they were at the last checkpoint: what came after it goes.
    pub(super) fn open(dir: &Path, cut: Cut<'_>) -> anyhow::Result<Answers> {
        let open = |(number, &bytes): (usize, &u64)| -> anyhow::Result<Part> {
            let path = dir.join(format!("answers-{number:03}"));
            let mut options = OpenOptions::new();
            let mut file = options.create(true).truncate(false).read(true).write(true).open(&path)?;
            let found = file.metadata()?.len();
            if found < bytes {
                let message = format!("{}: {found} bytes, expected {bytes} at least", path.display());
                return Err(Advised::new(message, "remove the folder to begin anew").into());
            }
            file.set_len(bytes)?;
            file.seek(SeekFrom::Start(bytes))?;
            Ok(Part { path, writer: BufWriter::with_capacity(BUFFER_BYTES, file), bytes })
        };
        let files = cut.bytes.iter().enumerate().map(open).collect::<anyhow::Result<_>>()?;
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
            part.bytes += record.len() as u64; // CAST: widening
        }
        Ok(())
    }

    /// Makes durable what was appended: bytes of each file.
    pub(super) fn sync(&mut self) -> anyhow::Result<Vec<u64>> {
        for part in &mut self.files {
            part.writer.flush().with_context(|| part.path.display().to_string())?;
            part.writer.get_ref().sync_data()?;
        }
        Ok(self.files.iter().map(|part| part.bytes).collect())
    }

    /// Writes the answers of `rows` rows in their order: a file at a time, all ids and then all distances. `tell` hears how many rows are done,
    /// those with distances counted once more.
    pub(super) fn write(
        &mut self,
        out: &Path,
        rows: u64,
        k: usize,
        tell: &dyn Fn(u64),
    ) -> anyhow::Result<()> {
        let mut writer = AnswerWriter::create(out, rows, k)?;
        let keeps_distances = writer.keeps_distances();
        for number in 0..self.files.len() {
            let ordered = self.ordered(number, rows)?;
            let ids = ordered.chunks_exact(Self::record_bytes(k)).flat_map(|record| {
                record[8..8 + 8 * k].as_chunks::<8>().0.iter().map(|&id| u64::from_le_bytes(id))
            });
            writer.ids(ids)?;
            tell((number as u64 + 1) * self.file_rows); // CAST: widening, here and below
        }
        for number in (0..self.files.len()).filter(|_| keeps_distances) {
            let ordered = self.ordered(number, rows)?;
            let distances = ordered.chunks_exact(Self::record_bytes(k)).flat_map(|record| {
                record[8 + 8 * k..].as_chunks::<4>().0.iter().map(|&distance| f32::from_le_bytes(distance))
            });
            writer.distances(distances)?;
            tell(rows + (number as u64 + 1) * self.file_rows);
        }
        Ok(writer.finish()?)
    }

    /// The records of a file in the order of rows.
    fn ordered(&mut self, number: usize, rows: u64) -> anyhow::Result<Vec<u8>> {
        let (bytes, first) = (Self::record_bytes(self.k), number as u64 * self.file_rows); // CAST: widening
        let count = (rows - first).min(self.file_rows) as usize; // CAST: rows in memory
        let part = &mut self.files[number];
        let mut ordered = vec![0; count * bytes];
        let mut seen = 0;
        part.writer.flush().with_context(|| part.path.display().to_string())?;
        let mut file = part.writer.get_ref();
        file.seek(SeekFrom::Start(0))?;
        let mut reader = std::io::BufReader::with_capacity(BUFFER_BYTES.max(bytes), file);
        let mut record = vec![0; bytes];
        for _ in 0..part.bytes / bytes as u64 {
            reader.read_exact(&mut record).with_context(|| part.path.display().to_string())?;
            let row = record.first_chunk::<8>().map_or(u64::MAX, |&row| u64::from_le_bytes(row));
            let at = row.checked_sub(first).and_then(|at| usize::try_from(at).ok());
            let Some(place) = at.and_then(|at| ordered.get_mut(at * bytes..(at + 1) * bytes)) else {
                let message =
                    format!("{}: an answer to row {row}, which is not of this file", part.path.display());
                return Err(Advised::new(message, "remove the folder to begin anew").into());
            };
            place.copy_from_slice(&record);
            seen += 1;
        }
        if seen != count {
            let message = format!("{}: answers to {seen} rows, expected {count}", part.path.display());
            return Err(Advised::new(message, "remove the folder to begin anew").into());
        }
        Ok(ordered)
    }
}
