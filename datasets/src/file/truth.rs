//! Files of true neighbours.
//!
//! ```text
//! ibin     u32 queries, u32 k, ids (u32), then optionally a distance (f32) for each id, told apart by size
//! ivecs    every query: i32 k, ids (i32)
//! npy      ids of 32 or 64 bits
//! ```
//! Distances are squared L2, the inner product itself, or `1 - cos`; best first in every case.
//!
//! Where a query has fewer than `k` neighbours, since fewer vectors match its filter, the rest of its ids are -1: all bits of
//! an id without sign. Their distances are infinite.
#![deny(clippy::indexing_slicing)]
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;

use fs_err::File;

use super::layout::Layout;
use super::output::OutputFile;
use super::stored::{NONE, Stored, file_error};
use super::{FileError, Format, InFile, OutFile, npy};

/// The true neighbours of a set of queries, best first.
#[derive(Debug, Clone, PartialEq)]
pub struct Truth {
    /// Queries that the truth has neighbours for.
    pub queries: usize,
    /// Neighbours of each query.
    pub k: usize,
    /// Ids of the neighbours, `k` for each query: row numbers of the base, or the ids that its vectors were given. After
    /// the last neighbour of a query that has fewer than `k`, [`Truth::NONE`].
    pub ids: Vec<u64>,
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
        /// Query that names it, from 0.
        query: usize,
        /// Row that the truth names.
        id: u64,
        /// Rows of the base.
        rows: u64,
    },
    /// A row has no id in the list of ids: it is that of another base.
    #[error("truth of query {query} names row {row}, there are ids of {rows} rows: give the ids of the base")]
    NoId {
        /// Query that names it, from 0.
        query: usize,
        /// Row that the truth names.
        row: u64,
        /// Rows that have ids.
        rows: usize,
    },
    /// A query has fewer than `k` neighbours, as only a query with a filter can.
    #[error("truth of query {query} has {found} of {k} neighbours: it is that of queries with filters")]
    Fewer {
        /// First query with too few, from 0.
        query: usize,
        /// Neighbours that it has.
        found: usize,
        /// Neighbours of each query.
        k: usize,
    },
    /// A distance is NaN: the file is damaged.
    #[error("truth of query {query}: distance {neighbour} is no number: compute the truth anew")]
    Distance {
        /// Query that the distance is of, from 0.
        query: usize,
        /// Which of its neighbours, from 0.
        neighbour: usize,
    },
    /// The truth is that of another number of queries.
    #[error("truth of {found} queries, expected {expected}: compute the truth of these queries")]
    Queries {
        /// Queries of the search.
        expected: u64,
        /// Queries of the truth.
        found: u64,
    },
}

impl Truth {
    /// Stands in place of a neighbour that is not there.
    pub const NONE: u64 = NONE;

    /// Reads a file of neighbours: ibin, ivecs or npy. A file whose name tells no format is taken for an ibin.
    ///
    /// # Errors
    /// A file of vectors, counts out of range, negative ids but for -1 after the last neighbour of a query, a truncated or
    /// oversized file.
    pub fn open(path: impl AsRef<Path>) -> Result<Truth, FileError> {
        let path = path.as_ref();
        let from = InFile { format: Some(Format::Ibin), ..path.into() };
        let (file, layout) = Layout::open(from)?;
        if layout.element.dtype().is_some() {
            return Err(kind(path, layout.format, "ids (its elements are vectors)"));
        }
        // The layout was checked against the file's length, so these are no larger than the file.
        let elements = layout.rows * layout.width as u64; // CAST: usize is 64 bits here
        let mut ids = Vec::with_capacity(usize::try_from(elements).unwrap_or(usize::MAX));
        let stored = Stored { path, file: &file, layout: &layout };
        let mut row = 0;
        while row < layout.rows {
            let rows = stored.rows_at_once().min(layout.rows - row);
            stored.read_truth(row, rows, &mut ids).map_err(file_error)?;
            row += rows;
        }
        let mut distances = Vec::new();
        if layout.distances {
            distances.reserve_exact(ids.len());
            let bytes = read(path, &file, layout.row_at(layout.rows), elements * 4)?;
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
    /// A name that tells no format, a format for vectors, nothing to write, ids over 32 bits in ibin or over 31 in ivecs,
    /// a full disk.
    ///
    /// # Panics
    /// When the lengths of the fields disagree.
    pub fn write<'a>(&self, to: impl Into<OutFile<'a>>) -> Result<(), FileError> {
        let to = to.into();
        let (path, format) = (to.path, to.format()?);
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
        let ids = || self.ids.iter().copied().filter(|&id| id != Truth::NONE);
        let largest = ids().max().unwrap_or_default();
        let is_short = ids().count() < self.ids.len();
        // The largest id of 32 bits without sign has the bits of a missing one.
        if largest > format.id_max() || largest == u64::from(u32::MAX) && format == Format::Ibin {
            return Err(FileError::WideId { path: path.to_owned(), format, id: largest });
        }
        // CAST: checked just now
        let narrow = || self.ids.iter().map(|&id| (id as u32).to_le_bytes());
        match format {
            Format::Ibin => {
                let mut out = OutputFile::create(path, 0)?;
                out.write_all(&queries.to_le_bytes())?;
                out.write_all(&k.to_le_bytes())?;
                write_all(&mut out, narrow())?;
                if let Some(distances) = &self.distances {
                    assert_eq!(distances.len(), self.ids.len(), "a distance for each id");
                    write_all(&mut out, distances.iter().map(|d| d.to_le_bytes()))?;
                }
                Ok(out.finish(&[])?)
            }
            Format::Ivecs => {
                let mut out = OutputFile::create(path, 0)?;
                for row in self.ids.chunks(self.k) {
                    out.write_all(&k.to_le_bytes())?;
                    write_all(&mut out, row.iter().map(|&id| (id as u32).to_le_bytes()))?; // CAST: checked above
                }
                Ok(out.finish(&[])?)
            }
            Format::Npy => {
                let mut out = OutputFile::create(path, 0)?;
                let descr = match largest {
                    0..=0x7fff_ffff if is_short => "<i4",
                    0..=0xffff_fffe if !is_short => "<u4",
                    0..=0x7fff_ffff_ffff_ffff => "<i8",
                    _ => "<u8",
                };
                out.write_all(&npy::write(descr, u64::from(queries), self.k))?;
                match descr {
                    "<i4" | "<u4" => write_all(&mut out, narrow())?,
                    _ => write_all(&mut out, self.ids.iter().map(|id| id.to_le_bytes()))?,
                }
                Ok(out.finish(&[])?)
            }
            _ => Err(kind(path, format, "ids")),
        }
    }

    /// The neighbours of one query, best first: `k`, or fewer where fewer vectors match its filter.
    ///
    /// # Panics
    /// When there is no such query.
    #[expect(clippy::indexing_slicing, reason = "documented panic; the caller's own number, not the file's")]
    pub fn ids_of(&self, query: usize) -> &[u64] {
        let ids = &self.ids[query * self.k..(query + 1) * self.k];
        &ids[..ids.iter().position(|&id| id == Truth::NONE).unwrap_or(self.k)]
    }

    /// Puts ids in the place of row numbers: `ids` holds the id of each row of the base.
    ///
    /// # Errors
    /// A row without an id.
    pub fn name_rows(&mut self, ids: &[u64]) -> Result<(), TruthError> {
        for (at, row) in self.ids.iter_mut().enumerate().filter(|(_, row)| **row != Truth::NONE) {
            let id = usize::try_from(*row).ok().and_then(|row| ids.get(row));
            *row = *id.ok_or(TruthError::NoId { query: at / self.k, row: *row, rows: ids.len() })?;
        }
        Ok(())
    }

    /// Checks that the truth can be that of `queries` queries against a base of `rows` rows.
    ///
    /// # Errors
    /// Another number of queries, fewer than `k` neighbours of a query, an id that is no row of the base, a distance that is
    /// NaN.
    pub fn validate(&self, queries: u64, rows: u64) -> Result<(), TruthError> {
        let of_query = |query| (query, self.ids_of(query).len());
        if let Some((query, found)) = (0..self.queries).map(of_query).find(|&(_, found)| found < self.k) {
            return Err(TruthError::Fewer { query, found, k: self.k });
        }
        self.validate_filtered(queries, rows)
    }

    /// Like [`Truth::validate`], of queries with filters, which may have fewer than `k` neighbours.
    ///
    /// # Errors
    /// As [`Truth::validate`], but for that.
    pub fn validate_filtered(&self, queries: u64, rows: u64) -> Result<(), TruthError> {
        let found = self.queries as u64; // CAST: usize is 64 bits here
        if found != queries {
            return Err(TruthError::Queries { expected: queries, found });
        }
        let nan = self.distances.iter().flatten().position(|distance| distance.is_nan());
        if let Some(at) = nan {
            return Err(TruthError::Distance { query: at / self.k, neighbour: at % self.k });
        }
        let is_beyond = |&(_, &id): &(usize, &u64)| id >= rows && id != Truth::NONE;
        match self.ids.iter().enumerate().find(is_beyond) {
            Some((at, &id)) => Err(TruthError::Id { query: at / self.k, id, rows }),
            None => Ok(()),
        }
    }
}

fn kind(path: &Path, format: Format, wanted: &str) -> FileError {
    let instead = "ibin, ivecs or npy of integers";
    FileError::Kind { path: path.to_owned(), format, wanted: wanted.to_owned(), instead }
}

pub(super) fn write_all<const N: usize>(
    out: &mut impl Write,
    words: impl Iterator<Item = [u8; N]>,
) -> Result<(), FileError> {
    for word in words {
        out.write_all(&word)?;
    }
    Ok(())
}

pub(super) fn read(path: &Path, file: &File, offset: u64, bytes: u64) -> Result<Vec<u8>, FileError> {
    let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
    let mut out = vec![0; bytes];
    let read = file.file().read_exact_at(&mut out, offset);
    read.map_err(|source| FileError::Read { path: path.to_owned(), offset, bytes, source })?;
    Ok(out)
}
