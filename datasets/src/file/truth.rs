//! Files of true neighbours.
//!
//! ```text
//! ibin     u32 queries, u32 k, ids (u32), then optionally as many distances (f32), told apart by size
//! ivecs    every query: i32 k, ids (i32)
//! npy      ids of type <i4, <u4 or <i8
//! ```
//! Distances are squared L2, the inner product itself, or `1 - cos`; best first in every case.
#![deny(clippy::indexing_slicing)]
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;

use fs_err::File;

use super::atomic::AtomicFile;
use super::layout::{Element, Layout};
use super::{FileError, Format, npy};

/// Bytes read at once.
const CHUNK_BYTES: usize = 1 << 20;

/// The true neighbours of a set of queries, best first.
#[derive(Debug, Clone, PartialEq)]
pub struct Truth {
    /// Number of queries.
    pub queries: usize,
    /// Neighbours of each query.
    pub k: usize,
    /// Row numbers of the neighbours, `k` for each query.
    pub ids: Vec<u32>,
    /// Their distances, where the file has them.
    pub distances: Option<Vec<f32>>,
}

/// Neighbours that do not fit the vectors they are used with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TruthError {
    /// An id names no row: the truth belongs to another base.
    #[error(
        "truth of query {query} names row {id}, the base has {rows} rows: compute the truth of this base"
    )]
    Id {
        /// The query.
        query: usize,
        /// The row named.
        id: u32,
        /// Rows of the base.
        rows: u64,
    },
    /// A distance is NaN: the file is damaged.
    #[error("truth of query {query}: distance {neighbour} is no number: compute the truth anew")]
    Distance {
        /// The query.
        query: usize,
        /// Which of its neighbours, from 0.
        neighbour: usize,
    },
    /// The truth is that of another number of queries.
    #[error("truth of {found} queries, expected {expected}: compute the truth of these queries")]
    Queries {
        /// Queries there are.
        expected: u64,
        /// Queries of the truth.
        found: u64,
    },
}

impl Truth {
    /// Reads a file of neighbours: ibin, ivecs or npy.
    ///
    /// # Errors
    /// Unknown extension, a file of vectors, counts out of range, a truncated or oversized file.
    pub fn open(path: impl AsRef<Path>) -> Result<Truth, FileError> {
        let path = path.as_ref();
        let format = Format::of(path)?;
        let file = File::open(path)?;
        let layout = Layout::read(path, &file)?;
        if matches!(layout.element, Element::Vector(_)) {
            return Err(kind(path, format, "ids (its elements are vectors)"));
        }
        // The layout was checked against the file's length, so these are no larger than the file.
        let elements = layout.rows * layout.width as u64; // CAST: usize is 64 bits here
        let mut ids = Vec::with_capacity(usize::try_from(elements).unwrap_or(usize::MAX));
        let mut distances = Vec::new();
        let ids_end = layout.row_at(layout.rows);
        let chunk_rows = (CHUNK_BYTES as u64 / layout.stride()).max(1); // CAST: widening
        let mut row = 0;
        while row < layout.rows {
            let rows = chunk_rows.min(layout.rows - row);
            let bytes = read(path, &file, layout.row_at(row), rows * layout.stride())?;
            decode_rows(path, &layout, row, &bytes, &mut ids)?;
            row += rows;
        }
        if layout.distances {
            distances.reserve_exact(ids.len());
            let bytes = read(path, &file, ids_end, elements * 4)?;
            distances.extend(bytes.as_chunks::<4>().0.iter().map(|&b| f32::from_le_bytes(b)));
        }
        Ok(Truth {
            queries: ids.len() / layout.width,
            k: layout.width,
            ids,
            distances: layout.distances.then_some(distances),
        })
    }

    /// Writes the neighbours. Only ibin keeps distances: the other formats hold the ids alone.
    ///
    /// # Errors
    /// Unknown extension, a format for vectors, nothing to write, ids over `i32` in ivecs, a full disk.
    ///
    /// # Panics
    /// When the lengths of the fields disagree.
    pub fn write(&self, path: impl AsRef<Path>) -> Result<(), FileError> {
        let path = path.as_ref();
        let format = Format::of(path)?;
        assert_eq!(self.ids.len(), self.queries * self.k, "k ids for each query");
        if self.ids.is_empty() {
            return Err(FileError::NoRows { path: path.to_owned() });
        }
        let count = |n: usize| {
            u32::try_from(n).map_err(|_| FileError::TooManyRows {
                path: path.to_owned(),
                format,
                rows_max: u64::from(u32::MAX),
            })
        };
        let (queries, k) = (count(self.queries)?, count(self.k)?);
        let ids = || self.ids.iter().map(|id| id.to_le_bytes());
        match format {
            Format::Ibin => {
                let mut out = AtomicFile::create(path)?;
                out.write_all(&queries.to_le_bytes())?;
                out.write_all(&k.to_le_bytes())?;
                write_all(&mut out, ids())?;
                if let Some(distances) = &self.distances {
                    assert_eq!(distances.len(), self.ids.len(), "a distance for each id");
                    write_all(&mut out, distances.iter().map(|d| d.to_le_bytes()))?;
                }
                Ok(out.finish()?)
            }
            Format::Ivecs => {
                let mut out = AtomicFile::create(path)?;
                for row in self.ids.chunks(self.k) {
                    out.write_all(&k.to_le_bytes())?;
                    write_all(&mut out, row.iter().map(|id| id.to_le_bytes()))?;
                }
                Ok(out.finish()?)
            }
            Format::Npy => {
                let mut out = AtomicFile::create(path)?;
                out.write_all(&npy::write("<u4", u64::from(queries), self.k))?;
                write_all(&mut out, ids())?;
                Ok(out.finish()?)
            }
            _ => Err(kind(path, format, "ids")),
        }
    }

    /// The neighbours of one query, best first.
    ///
    /// # Panics
    /// When there is no such query.
    #[expect(clippy::indexing_slicing, reason = "documented panic; the caller's own number, not the file's")]
    pub fn ids_of(&self, query: usize) -> &[u32] {
        &self.ids[query * self.k..(query + 1) * self.k]
    }

    /// Checks that the truth can be that of `queries` queries against a base of `rows` rows.
    ///
    /// # Errors
    /// Another number of queries, an id that is no row of the base, a distance that is NaN.
    pub fn validate(&self, queries: u64, rows: u64) -> Result<(), TruthError> {
        let found = self.queries as u64; // CAST: usize is 64 bits here
        if found != queries {
            return Err(TruthError::Queries { expected: queries, found });
        }
        let nan = self.distances.iter().flatten().position(|distance| distance.is_nan());
        if let Some(at) = nan {
            return Err(TruthError::Distance { query: at / self.k, neighbour: at % self.k });
        }
        match self.ids.iter().position(|&id| u64::from(id) >= rows) {
            Some(at) => Err(TruthError::Id {
                query: at / self.k,
                id: self.ids.get(at).copied().unwrap_or_default(),
                rows,
            }),
            None => Ok(()),
        }
    }
}

fn kind(path: &Path, format: Format, wanted: &str) -> FileError {
    let instead = "ibin, ivecs or npy of integers";
    FileError::Kind { path: path.to_owned(), format, wanted: wanted.to_owned(), instead }
}

fn write_all(out: &mut impl Write, words: impl Iterator<Item = [u8; 4]>) -> Result<(), FileError> {
    for word in words {
        out.write_all(&word)?;
    }
    Ok(())
}

fn read(path: &Path, file: &File, offset: u64, bytes: u64) -> Result<Vec<u8>, FileError> {
    let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
    let mut out = vec![0; bytes];
    let read = file.file().read_exact_at(&mut out, offset);
    read.map_err(|source| FileError::Read { path: path.to_owned(), offset, bytes, source })?;
    Ok(out)
}

/// Appends the ids of rows as they lie in the file, the first of them number `first`.
fn decode_rows(
    path: &Path,
    layout: &Layout,
    first: u64,
    bytes: &[u8],
    ids: &mut Vec<u32>,
) -> Result<(), FileError> {
    let stride = layout.prefix_bytes + layout.row_bytes();
    for (row, bytes) in (first..).zip(bytes.chunks_exact(stride)) {
        let (prefix, elements) = bytes.split_at(layout.prefix_bytes);
        if let Some(&length) = prefix.first_chunk() {
            let found = i32::from_le_bytes(length);
            if usize::try_from(found) != Ok(layout.width) {
                return Err(FileError::RowDim {
                    path: path.to_owned(),
                    row,
                    offset: layout.row_at(row),
                    expected: layout.width,
                    found: i64::from(found),
                });
            }
        }
        if layout.element == Element::Id32 {
            ids.extend(elements.as_chunks::<4>().0.iter().map(|&b| u32::from_le_bytes(b)));
            continue;
        }
        for (at, &bytes) in (layout.row_at(row)..).step_by(8).zip(elements.as_chunks::<8>().0) {
            let found = i64::from_le_bytes(bytes);
            let out_of_range = |_| FileError::Id { path: path.to_owned(), row, offset: at, found };
            ids.push(u32::try_from(found).map_err(out_of_range)?);
        }
    }
    Ok(())
}
