//! One npy file of values, one for each row: bools, numbers, texts or times.
#![deny(clippy::indexing_slicing)]
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use fs_err::File;

use super::layout::Header;
use super::{FileError, npy};

/// Most bytes of an element: a text of 65 536 characters.
const ELEMENT_BYTES_MAX: usize = 1 << 18;

/// What the elements of a column are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ColumnElement {
    Bool,
    Whole {
        signed: bool,
    },
    Float,
    /// Characters of 32 bits.
    Text,
    /// Bytes.
    Bytes,
    /// Counts of some nanoseconds since 1970.
    Time {
        nanoseconds: i64,
    },
}

/// A column, open for reading.
#[derive(Debug)]
pub(crate) struct Column {
    path: PathBuf,
    file: File,
    pub(crate) element: ColumnElement,
    /// Bytes of an element.
    pub(crate) width: usize,
    big_endian: bool,
    pub(crate) rows: u64,
    data_at: u64,
}

impl Column {
    pub(crate) fn open(path: &Path) -> Result<Column, FileError> {
        let file = File::open(path)?;
        let header = Header::of_npy(path, &file)?;
        let file_bytes = header.file_bytes;
        let (text, data_at) = header.npy_text()?;
        let npy::ColumnHeader { descr, rows } = npy::parse_column(&text).map_err(|e| header.npy_error(&e))?;
        let (big_endian, name) = match descr.strip_prefix('>') {
            Some(name) => (true, name),
            None => (false, descr.strip_prefix(['<', '|', '=']).unwrap_or(&descr)),
        };
        let Some((element, width)) = element_of(name) else {
            let expected =
                "a bool, integers, floats, texts (U or S), or datetime64 of W, D, h, m, s, ms, us or ns";
            return Err(header.refuse("npy element type", 0, expected.to_owned(), descr));
        };
        let expected = u128::from(data_at) + u128::from(rows) * width as u128; // CAST: widening
        if expected != u128::from(file_bytes) {
            let (path, row_bytes) = (path.to_owned(), width as u64); // CAST: widening
            return Err(FileError::Size { path, rows, row_bytes, data_at, expected, found: file_bytes });
        }
        Ok(Column { path: path.to_owned(), file, element, width, big_endian, rows, data_at })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Replaces `out` with the elements of `rows` rows from row `first` on, little-endian. There are such rows.
    pub(crate) fn read(&self, first: u64, rows: usize, out: &mut Vec<u8>) -> Result<(), FileError> {
        let (offset, bytes) = (self.data_at + first * self.width as u64, rows * self.width); // CAST: widening
        out.resize(bytes, 0);
        let read = self.file.file().read_exact_at(out, offset);
        read.map_err(|source| FileError::Read { path: self.path.clone(), offset, bytes, source })?;
        if self.big_endian {
            let unit = if self.element == ColumnElement::Text { 4 } else { self.width };
            out.chunks_exact_mut(unit).for_each(<[u8]>::reverse);
        }
        Ok(())
    }
}

/// What a name such as `i4` says, and the bytes of an element.
fn element_of(name: &str) -> Option<(ColumnElement, usize)> {
    const SECOND: i64 = 1_000_000_000;
    let (kind, size) = name.split_at_checked(1)?;
    if let Some(unit) =
        size.strip_prefix("8[").and_then(|unit| unit.strip_suffix(']')).filter(|_| kind == "M")
    {
        let nanoseconds = match unit {
            "ns" => 1,
            "us" => 1_000,
            "ms" => 1_000_000,
            "s" => SECOND,
            "m" => 60 * SECOND,
            "h" => 3_600 * SECOND,
            "D" => 86_400 * SECOND,
            "W" => 7 * 86_400 * SECOND,
            _ => return None,
        };
        return Some((ColumnElement::Time { nanoseconds }, 8));
    }
    let size: usize = size.parse().ok().filter(|_| size.bytes().all(|byte| byte.is_ascii_digit()))?;
    let (element, width) = match (kind, size) {
        ("b", 1) => (ColumnElement::Bool, 1),
        ("i", 1 | 2 | 4 | 8) => (ColumnElement::Whole { signed: true }, size),
        ("u", 1 | 2 | 4 | 8) => (ColumnElement::Whole { signed: false }, size),
        ("f", 2 | 4 | 8) => (ColumnElement::Float, size),
        ("U", _) => (ColumnElement::Text, size.checked_mul(4)?),
        ("S", _) => (ColumnElement::Bytes, size),
        _ => return None,
    };
    // A text of no bytes is that of a column in which all are empty.
    (1..=ELEMENT_BYTES_MAX).contains(&width).then_some((element, width))
}
