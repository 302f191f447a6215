//! Files of true neighbours within a radius, in the layout of big-ann-benchmarks.
//!
//! ```text
//! i32 queries, i32 results, results of each query (i32), ids of all results (i32), their distances (f32)
//! ```
//! Distances are squared L2, the inner product itself, or `1 - cos`. Results lie query by query; here best first, in files of
//! others in any order.
#![deny(clippy::indexing_slicing)]
use std::io::Write as _;
use std::path::Path;

use fs_err::File;

use super::output::OutputFile;
use super::truth::{read, write_all};
use super::{FileError, TruthError};

/// Bytes of the two counts.
const HEAD_BYTES: u64 = 8;

/// The true neighbours of a set of queries within a radius.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RangeTruth {
    /// Results up to the end of each query.
    ends: Vec<usize>,
    ids: Vec<u32>,
    distances: Vec<f32>,
}

/// More results than a file counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooManyResults;

impl RangeTruth {
    /// Most results of all queries together, and most queries.
    pub const RESULTS_MAX: usize = i32::MAX as usize; // CAST: positive

    /// Appends the results of the next query, ids with their distances.
    ///
    /// # Errors
    /// [`TooManyResults`], of too many queries or too little memory too.
    pub fn push(&mut self, results: impl Iterator<Item = (u64, f32)>) -> Result<(), TooManyResults> {
        for (id, distance) in results {
            if self.ids.len() >= Self::RESULTS_MAX {
                return Err(TooManyResults);
            }
            self.ids.try_reserve(1).map_err(|_| TooManyResults)?;
            self.distances.try_reserve(1).map_err(|_| TooManyResults)?;
            self.ids.push(id as u32); // CAST: bases have at most 2^32 rows
            self.distances.push(distance);
        }
        if self.ends.len() >= Self::RESULTS_MAX {
            return Err(TooManyResults);
        }
        self.ends.push(self.ids.len());
        Ok(())
    }

    /// Queries that the truth has neighbours for.
    pub fn queries(&self) -> usize {
        self.ends.len()
    }

    /// Results of all queries.
    pub fn results(&self) -> usize {
        self.ids.len()
    }

    /// Results of each query.
    pub fn counts(&self) -> impl Iterator<Item = usize> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        self.ends.iter().zip(starts).map(|(end, start)| end - start)
    }

    /// The results of one query: ids and distances.
    ///
    /// # Panics
    /// When there is no such query.
    #[expect(clippy::indexing_slicing, reason = "documented panic; ends were checked when the file was read")]
    pub fn of(&self, query: usize) -> (&[u32], &[f32]) {
        let start = query.checked_sub(1).map_or(0, |before| self.ends[before]);
        let range = start..self.ends[query];
        (&self.ids[range.clone()], &self.distances[range])
    }

    /// Reads the file, under any name.
    ///
    /// # Errors
    /// Counts out of range or that do not add up, a truncated or oversized file, negative ids, distances that are no numbers.
    pub fn open(path: impl AsRef<Path>) -> Result<RangeTruth, FileError> {
        let path = path.as_ref();
        let file = File::open(path)?;
        let found = file.metadata()?.len();
        let refuse = |field, offset, expected: String, found: String| FileError::Header {
            path: path.to_owned(),
            field,
            offset,
            expected,
            found,
        };
        if found < HEAD_BYTES {
            let expected = format!("a file of at least {HEAD_BYTES} bytes");
            return Err(refuse("counts of queries and results", 0, expected, format!("{found} bytes")));
        }
        let counts = read(path, &file, 0, HEAD_BYTES)?;
        let [queries, results] = <[i32; 2]>::try_from(words(&counts).collect::<Vec<_>>()).unwrap_or_default();
        let count = |field, offset, value: i32, least: i32| match u64::try_from(value) {
            Ok(count) if value >= least => Ok(count),
            _ => Err(refuse(field, offset, format!("{least} or more"), value.to_string())),
        };
        let (queries, results) =
            (count("query count", 0, queries, 1)?, count("result count", 4, results, 0)?);
        let data_at = HEAD_BYTES + 4 * queries;
        let expected = u128::from(data_at) + 8 * u128::from(results);
        if expected != u128::from(found) {
            let path = path.to_owned();
            return Err(FileError::Size { path, rows: results, row_bytes: 8, data_at, expected, found });
        }
        // No larger than the file from here on.
        let mut ends = Vec::with_capacity(queries as usize); // CAST: below 2^31
        let mut end = 0_u64;
        let of_queries = read(path, &file, HEAD_BYTES, 4 * queries)?;
        for (offset, of_query) in (HEAD_BYTES..).step_by(4).zip(words(&of_queries)) {
            end += count("results of a query", offset, of_query, 0)?;
            if end > results {
                return Err(refuse(
                    "results up to a query",
                    offset,
                    format!("at most {results}"),
                    end.to_string(),
                ));
            }
            ends.push(end as usize); // CAST: below 2^31
        }
        if end != results {
            return Err(refuse("results of all queries", HEAD_BYTES, results.to_string(), end.to_string()));
        }
        let mut ids = Vec::with_capacity(results as usize); // CAST: below 2^31
        for (row, id) in (0..).zip(words(&read(path, &file, data_at, 4 * results)?)) {
            let refused =
                |_| FileError::Id { path: path.to_owned(), row, offset: data_at + 4 * row, found: id.into() };
            ids.push(u32::try_from(id).map_err(refused)?);
        }
        let distances_at = data_at + 4 * results;
        let bytes = read(path, &file, distances_at, 4 * results)?;
        let distances: Vec<f32> = bytes.as_chunks().0.iter().map(|&b| f32::from_le_bytes(b)).collect();
        if let Some(at) = distances.iter().position(|distance| distance.is_nan()) {
            let offset = distances_at + 4 * at as u64; // CAST: widening
            return Err(refuse("distance", offset, "a number".to_owned(), "NaN".to_owned()));
        }
        Ok(RangeTruth { ends, ids, distances })
    }

    /// Writes the file, under any name.
    ///
    /// # Errors
    /// No queries, ids over 31 bits, a full disk.
    pub fn write(&self, path: &Path) -> Result<(), FileError> {
        if self.ends.is_empty() {
            return Err(FileError::NoRows { path: path.to_owned() });
        }
        if let Some(&id) = self.ids.iter().find(|&&id| i32::try_from(id).is_err()) {
            return Err(FileError::RangeId { path: path.to_owned(), id: id.into() });
        }
        let mut out = OutputFile::create(path, 0)?;
        // CAST: each is at most `RESULTS_MAX`, here and below
        let word = |count: usize| (count as i32).to_le_bytes();
        out.write_all(&word(self.queries()))?;
        out.write_all(&word(self.results()))?;
        write_all(&mut out, self.counts().map(word))?;
        write_all(&mut out, self.ids.iter().map(|id| id.to_le_bytes()))?;
        write_all(&mut out, self.distances.iter().map(|distance| distance.to_le_bytes()))?;
        Ok(out.finish(&[])?)
    }

    /// Puts ids in the place of row numbers: `ids` holds the id of each row of the base, of 32 bits at most.
    ///
    /// # Errors
    /// A row without an id.
    pub fn name_rows(&mut self, ids: &[u64]) -> Result<(), TruthError> {
        for (at, row) in self.ids.iter_mut().enumerate() {
            let id = ids.get(*row as usize).and_then(|&id| u32::try_from(id).ok());
            let no_id = || TruthError::NoId {
                query: self.ends.partition_point(|&end| end <= at),
                row: u64::from(*row),
                rows: ids.len(),
            };
            *row = id.ok_or_else(no_id)?;
        }
        Ok(())
    }

    /// Checks that the truth is that of `queries` queries.
    ///
    /// # Errors
    /// Another number of queries.
    pub fn validate(&self, queries: u64) -> Result<(), TruthError> {
        let found = self.queries() as u64; // CAST: usize is 64 bits here
        if found == queries { Ok(()) } else { Err(TruthError::Queries { expected: queries, found }) }
    }
}

fn words(bytes: &[u8]) -> impl Iterator<Item = i32> {
    bytes.as_chunks().0.iter().map(|&word| i32::from_le_bytes(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn truth() -> RangeTruth {
        let mut truth = RangeTruth::default();
        for results in [&[(7, 0.5), (1, 2.0)][..], &[], &[(3, 1.0)]] {
            truth.push(results.iter().copied()).unwrap();
        }
        truth
    }

    #[test]
    fn files_have_the_layout_of_big_ann_and_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("any.name");
        truth().write(&path).unwrap();
        let words: Vec<u32> =
            [3, 3, 2, 0, 1, 7, 1, 3].into_iter().chain([0.5_f32, 2.0, 1.0].map(f32::to_bits)).collect();
        assert_eq!(std::fs::read(&path).unwrap(), bytemuck_words(&words));
        let read = RangeTruth::open(&path).unwrap();
        assert_eq!(read, truth());
        assert_eq!(read.counts().collect::<Vec<_>>(), [2, 0, 1]);
        assert_eq!(
            (read.of(0), read.of(1), read.of(2)),
            ((&[7, 1][..], &[0.5, 2.0][..]), (&[][..], &[][..]), (&[3][..], &[1.0][..]))
        );
    }

    fn bytemuck_words(words: &[u32]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    #[test]
    fn damaged_files_are_refused_by_field() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t");
        let whole = [3, 3, 2, 0, 1, 7, 1, 3, 0, 0, 0];
        let field = |words: &[u32]| {
            std::fs::write(&path, bytemuck_words(words)).unwrap();
            match RangeTruth::open(&path).map(|_| "none") {
                Ok(none) => none,
                Err(FileError::Header { field, .. }) => field,
                Err(FileError::Size { .. }) => "size",
                Err(FileError::Id { .. }) => "id",
                Err(error) => panic!("{error}"),
            }
        };
        assert_eq!(field(&whole), "none");
        let with = |at: usize, word: u32| {
            let mut words = whole;
            words[at] = word;
            words
        };
        let nan = f32::NAN.to_bits();
        for (at, word, expected) in [
            (0, 0, "query count"),
            (0, u32::MAX, "query count"),
            (0, 4, "size"),
            (0, 0x7fff_ffff, "size"),
            (1, u32::MAX, "result count"),
            (1, 2, "size"),
            (2, u32::MAX, "results of a query"),
            (2, 4, "results up to a query"),
            (2, 1, "results of all queries"),
            (6, u32::MAX, "id"),
            (9, nan, "distance"),
        ] {
            assert_eq!(field(&with(at, word)), expected, "word {at}");
        }
        assert_eq!(field(&whole[..10]), "size");
        assert_eq!(field(&whole[..1]), "counts of queries and results");
    }

    #[test]
    fn ids_are_named_and_checked() {
        let mut named = truth();
        named.name_rows(&[0, 10, 20, 30, 40, 50, 60, 70]).unwrap();
        assert_eq!(named.of(0).0, [70, 10]);
        let missing = truth().name_rows(&[0, 10, 20, 1 << 40, 40, 50, 60, 70]).unwrap_err();
        assert_eq!(missing, TruthError::NoId { query: 2, row: 3, rows: 8 });
        assert!(truth().validate(3).is_ok() && truth().validate(4).is_err());
        let mut wide = RangeTruth::default();
        wide.push([(1 << 31, 0.0)].into_iter()).unwrap();
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(wide.write(&dir.path().join("t")), Err(FileError::RangeId { .. })));
        assert!(matches!(RangeTruth::default().write(&dir.path().join("t")), Err(FileError::NoRows { .. })));
    }
}
