//! Answers to many queries written row by row, for what does not fit in memory.
use std::io::Write as _;
use std::path::PathBuf;

use super::output::OutputFile;
use super::truth::Truth;
use super::{FileError, Format, OutFile, npy};

/// Writes the neighbours of queries in their order: all ids, and then their distances where the format keeps them.
///
/// The files are those of [`Truth::write`] and of `query --out`: ibin with ids of 32 bits and distances, npy with signed ids of 64 bits.
#[derive(Debug)]
pub struct AnswerWriter {
    out: OutputFile,
    path: PathBuf,
    format: Format,
}

impl AnswerWriter {
    /// Starts a file of `k` neighbours of each of `queries` queries.
    ///
    /// # Errors
    /// A name that tells no format, another format than ibin and npy, more queries or neighbours than a file counts.
    pub fn create<'a>(to: impl Into<OutFile<'a>>, queries: u64, k: usize) -> Result<AnswerWriter, FileError> {
        let to = to.into();
        let (path, format) = (to.path.to_owned(), to.format()?);
        let too_many = || FileError::TooManyRows { path: path.clone(), format, rows_max: u32::MAX.into() };
        let count = |n: u64| u32::try_from(n).map_err(|_| too_many());
        let (rows, columns) = (count(queries)?, count(k as u64)?); // CAST: widening
        if rows == 0 {
            return Err(FileError::NoRows { path });
        }
        let mut out = match format {
            Format::Ibin | Format::Npy => OutputFile::create(&path, 0)?,
            _ => {
                let (wanted, instead) = ("answers".to_owned(), "ibin or npy");
                return Err(FileError::Kind { path, format, wanted, instead });
            }
        };
        match format {
            Format::Ibin => {
                [rows, columns].iter().try_for_each(|count| out.write_all(&count.to_le_bytes()))?
            }
            _ => out.write_all(&npy::write("<i8", queries, k))?,
        }
        Ok(AnswerWriter { out, path, format })
    }

    /// Whether distances are written after the ids.
    pub fn keeps_distances(&self) -> bool {
        self.format == Format::Ibin
    }

    /// Appends ids of the next queries; [`Truth::NONE`] for a neighbour that is not there.
    ///
    /// # Errors
    /// An id that does not fit the format, a full disk.
    pub fn ids(&mut self, ids: impl Iterator<Item = u64>) -> Result<(), FileError> {
        let id_max = if self.format == Format::Ibin { u64::from(u32::MAX) - 1 } else { i64::MAX as u64 };
        for id in ids {
            if id > id_max && id != Truth::NONE {
                return Err(FileError::WideId { path: self.path.clone(), format: self.format, id });
            }
            match self.format {
                Format::Ibin => self.out.write_all(&(id as u32).to_le_bytes())?, // CAST: checked just now
                _ => self.out.write_all(&id.to_le_bytes())?,
            }
        }
        Ok(())
    }

    /// Appends distances of the next queries, once all ids were written, where the format keeps them.
    ///
    /// # Errors
    /// A full disk.
    pub fn distances(&mut self, distances: impl Iterator<Item = f32>) -> Result<(), FileError> {
        for distance in distances {
            self.out.write_all(&distance.to_le_bytes())?;
        }
        Ok(())
    }

    /// Makes the file durable, and gives it its name.
    ///
    /// # Errors
    /// What the file system answers.
    pub fn finish(self) -> Result<(), FileError> {
        Ok(self.out.finish(&[])?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_written_as_a_truth_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let (ids, distances) = (vec![3, 4, 5, Truth::NONE], vec![0.5, 1.0, 2.0, f32::INFINITY]);
        let truth = Truth { queries: 2, k: 2, ids: ids.clone(), distances: Some(distances.clone()) };
        truth.write(path("a.ibin").as_path()).unwrap();
        let mut writer = AnswerWriter::create(path("b.ibin").as_path(), 2, 2).unwrap();
        assert!(writer.keeps_distances());
        writer.ids(ids.iter().copied()).unwrap();
        writer.distances(distances.into_iter()).unwrap();
        writer.finish().unwrap();
        assert_eq!(std::fs::read(path("a.ibin")).unwrap(), std::fs::read(path("b.ibin")).unwrap());
        let mut writer = AnswerWriter::create(path("c.npy").as_path(), 2, 2).unwrap();
        assert!(!writer.keeps_distances());
        writer.ids([1 << 40, 4, 5, Truth::NONE].into_iter()).unwrap();
        writer.finish().unwrap();
        assert_eq!(Truth::open(path("c.npy")).unwrap().ids, [1 << 40, 4, 5, Truth::NONE]);
    }

    #[test]
    fn what_a_format_cannot_hold_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.ibin");
        let mut writer = AnswerWriter::create(path.as_path(), 1, 1).unwrap();
        assert!(
            matches!(writer.ids([1 << 32].into_iter()), Err(FileError::WideId { id, .. }) if id == 1 << 32)
        );
        drop(writer);
        assert!(!path.exists());
        assert!(matches!(AnswerWriter::create(path.as_path(), 0, 1), Err(FileError::NoRows { .. })));
        let vectors = folder.path().join("a.fbin");
        assert!(matches!(AnswerWriter::create(vectors.as_path(), 1, 1), Err(FileError::Kind { .. })));
    }
}
