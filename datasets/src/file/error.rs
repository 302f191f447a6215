//! Why a file could not be read or written.
use std::io;
use std::path::{Path, PathBuf};

use spandrel_index::{DType, SourceError};

use super::Format;

/// Why a file of vectors or neighbours could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// A folder in place of a file.
    #[error("{path}: a folder, expected a file", path = path.display())]
    Folder {
        /// Path of the folder.
        path: PathBuf,
    },
    /// The extension names no known format. Rename or convert the file.
    #[error("{path}: the name tells no format, expected {known}", path = path.display(), known = Format::known())]
    UnknownFormat {
        /// File whose extension is unknown.
        path: PathBuf,
    },
    /// The extension names no known format, and the first bytes are those of a file of another kind.
    #[error("{path}: the name tells no format, and it is {found}: {advice}", path = path.display())]
    Unnamed {
        /// File whose extension is unknown.
        path: PathBuf,
        /// Kind of file that its first bytes are of.
        found: String,
        /// How to rename, convert or unpack it.
        advice: &'static str,
    },
    /// The first bytes are those of another kind of file than the name says.
    #[error("{path}: not {format}, it is {found}: {advice}", path = path.display())]
    Other {
        /// File whose bytes are of another format than its name.
        path: PathBuf,
        /// The format that its name says.
        format: Format,
        /// Kind of file that its first bytes are of.
        found: String,
        /// How to rename, convert or unpack it.
        advice: &'static str,
    },
    /// The format holds something else than what was asked for.
    #[error("{path}: {format} cannot hold {wanted}, choose {instead}", path = path.display())]
    Kind {
        /// File in a format that cannot hold it.
        path: PathBuf,
        /// Format of the file.
        format: Format,
        /// What was to be read or written.
        wanted: String,
        /// The formats that can hold it.
        instead: &'static str,
    },
    /// A field of the header is not one that this release accepts: the file is damaged or of another kind.
    #[error("{path}: {field} at offset {offset}: expected {expected}, found {found}", path = path.display())]
    Header {
        /// File whose header is wrong.
        path: PathBuf,
        /// Name of the field in the format's description.
        field: &'static str,
        /// Byte of the field in the file.
        offset: u64,
        /// What would be accepted.
        expected: String,
        /// Its value in the file.
        found: String,
    },
    /// The file is shorter (truncated) or longer (damaged, or of another format) than its header says.
    #[error(
        "{path}: file is {what}: the header at offset 0 promises {rows} rows of {row_bytes} bytes from offset {data_at}, \
         expected {expected} bytes, found {found}, which hold {whole} whole rows",
        path = path.display(),
        what = if u128::from(*found) < *expected { "truncated" } else { "oversized" },
        whole = found.saturating_sub(*data_at) / row_bytes.max(&1)
    )]
    Size {
        /// File that is longer or shorter than its header says.
        path: PathBuf,
        /// Rows by the header.
        rows: u64,
        /// Bytes of each row in the file.
        row_bytes: u64,
        /// Where the rows begin.
        data_at: u64,
        /// Bytes the file should have.
        expected: u128,
        /// Bytes it has.
        found: u64,
    },
    /// A row of a `vecs` file has another length than the first.
    #[error("{path}: row {row} at offset {offset}: expected {expected} elements, found {found}", path = path.display())]
    RowDim {
        /// The `vecs` file.
        path: PathBuf,
        /// Row of another length, from 0.
        row: u64,
        /// Where its length is written.
        offset: u64,
        /// Elements of the first row.
        expected: usize,
        /// Elements this row claims.
        found: i64,
    },
    /// An id is negative, or 2^64 - 1, which has the bits of the mark of a missing answer. Number the vectors from 0 up.
    #[error(
        "{path}: row {row} at offset {offset}: expected an id from 0 to 18446744073709551614, found {found}",
        path = path.display()
    )]
    Id {
        /// File that holds the id.
        path: PathBuf,
        /// Row of the file, from 0.
        row: u64,
        /// Where the id is written.
        offset: u64,
        /// The id as it is written.
        found: i128,
    },
    /// An id follows -1, which stands after the last neighbour of a query.
    #[error(
        "{path}: row {row} at offset {offset}: expected -1, as after the last neighbour of a query, found {found}",
        path = path.display()
    )]
    AfterLast {
        /// File of true neighbours.
        path: PathBuf,
        /// Row of the file, from 0.
        row: u64,
        /// Where the id is written.
        offset: u64,
        /// The id as it is written.
        found: i128,
    },
    /// Rows given to a writer are not a whole number of rows.
    #[error("{path}: {bytes} bytes are not whole rows of {row_bytes} bytes", path = path.display())]
    PartialRow {
        /// File being written.
        path: PathBuf,
        /// Bytes given to the writer.
        bytes: usize,
        /// Bytes of one row.
        row_bytes: usize,
    },
    /// An id is too large for the format.
    #[error("{path}: id {id} does not fit a {format} file{}", if *format == Format::Npy { "" } else { ", write npy" }, path = path.display())]
    WideId {
        /// File being written.
        path: PathBuf,
        /// Format of the file.
        format: Format,
        /// Id of more bits than the format has.
        id: u64,
    },
    /// An id is too large for a file of true neighbours within a radius.
    #[error("{path}: id {id} does not fit a file of neighbours within a radius, which holds 31 bits", path = path.display())]
    RangeId {
        /// File being written.
        path: PathBuf,
        /// Id of more than 31 bits.
        id: u64,
    },
    /// More rows than the format can count.
    #[error("{path}: more than {rows_max} rows do not fit a {format} file, write npy", path = path.display())]
    TooManyRows {
        /// File being written.
        path: PathBuf,
        /// Format of the file.
        format: Format,
        /// Rows it can count.
        rows_max: u64,
    },
    /// A file without rows would be refused on reading, so none is written.
    #[error("{path}: no rows to write", path = path.display())]
    NoRows {
        /// File that was to be written.
        path: PathBuf,
    },
    /// Elements per row outside what is accepted.
    #[error("{path}: {dim} elements per row, expected 1..={max}", path = path.display(), max = spandrel_index::DIM_MAX)]
    Dim {
        /// File that was to be written.
        path: PathBuf,
        /// Elements asked for.
        dim: usize,
    },
    /// Reading failed.
    #[error("{path}: reading {bytes} bytes at {offset}", path = path.display())]
    Read {
        /// File that was being read.
        path: PathBuf,
        /// Where the read began.
        offset: u64,
        /// Bytes asked for.
        bytes: usize,
        /// What the system answered to the read.
        source: io::Error,
    },
    /// Opening, creating, writing or renaming failed. The cause names the file.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Rows of a source could not be had.
    #[error(transparent)]
    Source(#[from] SourceError),
}

impl FileError {
    pub(crate) fn kind(path: &Path, format: Format, dtype: DType) -> FileError {
        FileError::Kind {
            path: path.to_owned(),
            format,
            wanted: format!("{dtype} vectors"),
            instead: match dtype {
                DType::F32 => "fbin, fvecs or npy",
                DType::F16 => "f16bin or npy",
                DType::I8 => "i8bin or npy",
                DType::U8 => "u8bin, bvecs or npy",
            },
        }
    }
}
