//! Where the rows of a file lie: the one place where header counts are checked against the file's length.
#![deny(clippy::indexing_slicing)]
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;

use fs_err::File;
use spandrel_index::{DIM_MAX, DType};

use super::element::Element;
use super::kind::{HEAD_BYTES, Kind, recognise, recognise_unnamed};
use super::npy::{self, NpyOrder};
use super::{FileError, Format, InFile};

/// Bytes of the two counts before the rows of a `bin` file.
pub(super) const BIN_HEADER_BYTES: u64 = 8;
const BIN_WIDTH_AT: u64 = 4;
/// Bytes of the length before each row of a `vecs` file.
pub(super) const VECS_PREFIX_BYTES: usize = 4;
/// Ids as ibin has them.
const BIN_ID: Element = Element::Id { bytes: 4, signed: false };
/// Ids as ivecs has them.
const VECS_ID: Element = Element::Id { bytes: 4, signed: true };

/// A header that was checked against the file's length: arithmetic on it cannot leave the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) format: Format,
    pub(super) element: Element,
    pub(super) order: NpyOrder,
    pub(super) rows: u64,
    /// Elements of each row.
    pub(super) width: usize,
    /// Where the first row begins.
    pub(super) data_at: u64,
    /// Bytes before the elements of each row.
    pub(super) prefix_bytes: usize,
    /// Whether an f32 distance for each id follows the ids.
    pub(super) distances: bool,
    pub(super) file_bytes: u64,
}

impl Layout {
    /// Bytes of the elements of a row.
    pub(super) fn row_bytes(&self) -> usize {
        self.width * self.element.bytes()
    }

    /// Bytes from one row to the next.
    pub(super) fn stride(&self) -> u64 {
        (self.prefix_bytes + self.row_bytes()) as u64 // CAST: usize is 64 bits here
    }

    /// Where a row (or its prefix) begins.
    pub(super) fn row_at(&self, row: u64) -> u64 {
        self.data_at + row * self.stride()
    }

    /// Opens a file, reads its header and checks it against the file's length.
    pub(super) fn open(from: InFile<'_>) -> Result<(File, Layout), FileError> {
        Layout::open_wide(from, DIM_MAX)
    }

    /// As [`Layout::open`], where a row of numbers has at most `numbers_max`.
    pub(super) fn open_wide(from: InFile<'_>, numbers_max: usize) -> Result<(File, Layout), FileError> {
        let (path, truncated) = (from.path, from.truncated);
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        if metadata.is_dir() {
            return Err(FileError::Folder { path: path.to_owned() });
        }
        let unnamed = |unknown| unnamed(path, &file, metadata.len()).unwrap_or(unknown);
        let format = from.format().map_err(unnamed)?;
        if !metadata.is_file() {
            let found = "no plain file".to_owned();
            let advice = "rows are read by position; save it to a file first";
            return Err(FileError::Other { path: path.to_owned(), format, found, advice });
        }
        let header = Header {
            path,
            file: &file,
            format,
            file_bytes: metadata.len(),
            truncated,
            numbers_max,
            start: 0,
        };
        let layout = header.layout_of_format();
        let layout = layout.map_err(|refused| header.other_kind().unwrap_or(refused))?;
        Ok((file, layout))
    }
}

/// The error that says what a file is whose name tells no format, if that can be told.
fn unnamed(path: &Path, file: &File, file_bytes: u64) -> Option<FileError> {
    let Kind { found, advice } = recognise_unnamed(&head_of(file, file_bytes)?)?;
    Some(FileError::Unnamed { path: path.to_owned(), found, advice })
}

/// The first bytes of a file.
fn head_of(file: &File, file_bytes: u64) -> Option<Vec<u8>> {
    let mut head = vec![0; HEAD_BYTES.min(usize::try_from(file_bytes).unwrap_or(HEAD_BYTES))];
    file.file().read_exact_at(&mut head, 0).ok()?;
    Some(head)
}

/// The file whose header is being read.
pub(super) struct Header<'a> {
    pub(super) path: &'a Path,
    pub(super) file: &'a File,
    pub(super) format: Format,
    pub(super) file_bytes: u64,
    /// Whether the whole rows that are there are taken where the header counts more.
    pub(super) truncated: bool,
    /// Most elements of a row of numbers.
    pub(super) numbers_max: usize,
    /// Where what is read begins in the file; `file_bytes` are counted from there.
    pub(super) start: u64,
}

impl<'a> Header<'a> {
    /// Of an npy file that holds no vectors.
    pub(super) fn of_npy(path: &'a Path, file: &'a File) -> io::Result<Header<'a>> {
        let file_bytes = file.metadata()?.len();
        Ok(Header::of_npy_in(path, file, 0..file_bytes))
    }

    /// Of an npy file that is part of another file.
    pub(super) fn of_npy_in(path: &'a Path, file: &'a File, range: Range<u64>) -> Header<'a> {
        let (start, file_bytes) = (range.start, range.end - range.start);
        let (format, truncated, numbers_max) = (Format::Npy, false, DIM_MAX);
        Header { path, file, format, file_bytes, truncated, numbers_max, start }
    }
}

impl Header<'_> {
    fn layout_of_format(&self) -> Result<Layout, FileError> {
        match self.format {
            Format::Fbin => self.bin(Element::Vector(DType::F32)),
            Format::F16bin => self.bin(Element::Vector(DType::F16)),
            Format::I8bin => self.bin(Element::Vector(DType::I8)),
            Format::U8bin => self.bin(Element::Vector(DType::U8)),
            Format::Ibin => self.bin(BIN_ID),
            Format::Fvecs => self.vecs(Element::Vector(DType::F32)),
            Format::Bvecs => self.vecs(Element::Vector(DType::U8)),
            Format::Ivecs => self.vecs(VECS_ID),
            Format::Npy => self.npy(),
        }
    }

    fn bin(&self, element: Element) -> Result<Layout, FileError> {
        let rows = u64::from(u32::from_le_bytes(self.read("row count", 0)?));
        let width = u64::from(u32::from_le_bytes(self.read("elements per row", BIN_WIDTH_AT)?));
        if rows == 0 {
            return Err(self.refuse("row count", 0, "at least 1".to_owned(), "0".to_owned()));
        }
        let width = self.check_width(BIN_WIDTH_AT, element, i128::from(width))?;
        let layout = self.layout(element, rows, width, BIN_HEADER_BYTES, 0);
        if element == BIN_ID {
            let with_distances = expected_bytes(&layout) + u128::from(rows) * u128::from(layout.stride());
            if u128::from(self.file_bytes) == with_distances {
                return Ok(Layout { distances: true, ..layout });
            }
        }
        self.check_size(layout)
    }

    fn vecs(&self, element: Element) -> Result<Layout, FileError> {
        let width = i32::from_le_bytes(self.read("elements of the first row", 0)?);
        let width = self.check_width(0, element, i128::from(width))?;
        let layout = self.layout(element, 0, width, 0, VECS_PREFIX_BYTES);
        // The rows are not counted anywhere: a file that ends inside a row is short of one more.
        let rows = self.file_bytes.div_ceil(layout.stride());
        self.check_size(Layout { rows, ..layout })
    }

    /// The text of an npy header, and where it ends.
    pub(super) fn npy_text(&self) -> Result<(Vec<u8>, u64), FileError> {
        let preamble: [u8; npy::PREAMBLE_BYTES] = self.read("npy preamble", 0)?;
        let text_at = npy::text_range(&preamble).map_err(|e| self.npy_error(&e))?;
        let text_end = text_at.end as u64; // CAST: at most 64 KiB
        if text_end > self.file_bytes {
            let expected = format!("a file of at least {text_end} bytes");
            return Err(self.refuse("npy header", 0, expected, format!("{} bytes", self.file_bytes)));
        }
        let mut text = vec![0; text_at.len()];
        self.read_into(text_at.start as u64, &mut text)?; // CAST: at most 12
        Ok((text, text_end))
    }

    fn npy(&self) -> Result<Layout, FileError> {
        let (text, text_end) = self.npy_text()?;
        let header = npy::parse(&text).map_err(|e| self.npy_error(&e))?;
        if header.rows == 0 {
            return Err(self.refuse("npy rows", 0, "at least 1".to_owned(), "0".to_owned()));
        }
        let width = self.check_width(0, header.element, i128::from(header.width))?;
        let layout = self.layout(header.element, header.rows, width, text_end, 0);
        self.check_size(Layout { order: header.order, ..layout })
    }

    fn layout(&self, element: Element, rows: u64, width: usize, data_at: u64, prefix_bytes: usize) -> Layout {
        let (format, file_bytes) = (self.format, self.file_bytes);
        let order = NpyOrder { big_endian: false, by_column: false };
        Layout { format, element, order, rows, width, data_at, prefix_bytes, distances: false, file_bytes }
    }

    fn check_width(&self, offset: u64, element: Element, width: i128) -> Result<usize, FileError> {
        let max = element.width_max(self.numbers_max);
        match usize::try_from(width) {
            Ok(width @ 1..) if width <= max => Ok(width),
            _ => Err(self.refuse("elements per row", offset, format!("1..={max}"), width.to_string())),
        }
    }

    fn check_size(&self, layout: Layout) -> Result<Layout, FileError> {
        let expected = expected_bytes(&layout);
        if expected == u128::from(self.file_bytes) {
            return Ok(layout);
        }
        let whole = self.file_bytes.saturating_sub(layout.data_at) / layout.stride();
        if self.truncated && whole > 0 && whole < layout.rows && !layout.order.by_column {
            return match self.other_kind() {
                Some(other) => Err(other),
                None => Ok(Layout { rows: whole, ..layout }),
            };
        }
        Err(FileError::Size {
            path: self.path.to_owned(),
            rows: layout.rows,
            row_bytes: layout.stride(),
            data_at: layout.data_at,
            expected,
            found: self.file_bytes,
        })
    }

    /// The error that names another kind of file, if this is one.
    fn other_kind(&self) -> Option<FileError> {
        let head = head_of(self.file, self.file_bytes)?;
        let Kind { found, advice } = recognise(&head, self.file_bytes, self.format)?;
        Some(FileError::Other { path: self.path.to_owned(), format: self.format, found, advice })
    }

    fn read<const N: usize>(&self, field: &'static str, offset: u64) -> Result<[u8; N], FileError> {
        let end = offset + N as u64; // CAST: a few bytes
        if self.file_bytes < end {
            let expected = format!("a file of at least {end} bytes");
            return Err(self.refuse(field, offset, expected, format!("{} bytes", self.file_bytes)));
        }
        let mut bytes = [0; N];
        self.read_into(offset, &mut bytes)?;
        Ok(bytes)
    }

    pub(super) fn read_into(&self, offset: u64, out: &mut [u8]) -> Result<(), FileError> {
        let bytes = out.len();
        let read: io::Result<()> = self.file.file().read_exact_at(out, self.start + offset);
        let offset = self.start + offset;
        read.map_err(|source| FileError::Read { path: self.path.to_owned(), offset, bytes, source })
    }

    pub(super) fn npy_error(&self, e: &npy::NpyError) -> FileError {
        self.refuse(e.field, e.offset, e.expected.to_owned(), e.found.clone())
    }

    pub(super) fn refuse(
        &self,
        field: &'static str,
        offset: u64,
        expected: String,
        found: String,
    ) -> FileError {
        FileError::Header { path: self.path.to_owned(), field, offset: self.start + offset, expected, found }
    }
}

fn expected_bytes(layout: &Layout) -> u128 {
    u128::from(layout.data_at) + u128::from(layout.rows) * u128::from(layout.stride())
}
