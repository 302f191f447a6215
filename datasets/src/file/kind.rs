//! What a file is that cannot be read as its name says: told by its first bytes and its length.
#![deny(clippy::indexing_slicing)]
use spandrel_index::DIM_MAX;

use super::Format;

/// Bytes looked at: as far as the count of the second row of the longest rows.
pub(super) const HEAD_BYTES: usize = 4 * DIM_MAX + 8;

/// What a file is, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Kind {
    pub(super) found: String,
    pub(super) advice: &'static str,
}

/// Beginnings of files that are none of vectors.
const BEGINNINGS: [(&[u8], &str, &str); 11] = [
    (b"\x1f\x8b", "a gzip archive", "unpack it with gunzip"),
    (b"\x28\xb5\x2f\xfd", "a zstd archive", "unpack it with unzstd"),
    (b"\xfd7zXZ", "an xz archive", "unpack it with unxz"),
    (b"BZh", "a bzip2 archive", "unpack it with bunzip2"),
    (b"PK\x03\x04", "a zip archive", "unpack it (numpy.load opens npz; save the array with numpy.save)"),
    (b"\x89HDF\r\n", "an HDF5 file", "write its arrays with numpy.save"),
    (b"PAR1", "a Parquet file", "write its vectors with numpy.save"),
    (b"version https://git-lfs", "a pointer of Git LFS", "fetch what it points to with `git lfs pull`"),
    (b"<?xml", "an XML document, as servers send in place of a file", "fetch the file again"),
    (b"<!doctype html", "an HTML page, as servers send in place of a file", "fetch the file again"),
    (b"<html", "an HTML page, as servers send in place of a file", "fetch the file again"),
];

/// Names a file by its first bytes alone, where its name tells no format.
pub(super) fn recognise_unnamed(head: &[u8]) -> Option<Kind> {
    foreign(head).or_else(|| array(head)).or_else(|| text(head))
}

/// Names a file by its first bytes; `file_bytes` is its whole length, `format` what it cannot be read as.
pub(super) fn recognise(head: &[u8], file_bytes: u64, format: Format) -> Option<Kind> {
    let by_size = || by_size(head, file_bytes, format);
    let rename = |found| Kind { found, advice: "give it the extension of what it holds" };
    foreign(head)
        .or_else(|| array(head).filter(|_| format != Format::Npy))
        .or_else(|| by_size().map(rename))
        .or_else(|| text(head))
}

/// What holds no rows of vectors.
fn foreign(head: &[u8]) -> Option<Kind> {
    let text = head.trim_ascii_start();
    let begins = |with: &[u8]| {
        let start = if with.is_ascii() { text } else { head };
        start.get(..with.len()).is_some_and(|start| start.eq_ignore_ascii_case(with))
    };
    let (_, found, advice) = BEGINNINGS.iter().find(|(with, ..)| begins(with))?;
    Some(Kind { found: (*found).to_owned(), advice })
}

fn array(head: &[u8]) -> Option<Kind> {
    let advice = "give it the extension npy";
    head.starts_with(b"\x93NUMPY").then(|| Kind { found: "an array of NumPy".to_owned(), advice })
}

fn text(head: &[u8]) -> Option<Kind> {
    let is_text = |byte: &u8| byte.is_ascii_graphic() || byte.is_ascii_whitespace();
    let advice =
        "write its numbers with numpy.save; ids are whole numbers, so number what strings and UUIDs name";
    (head.len() > 8 && head.iter().all(is_text)).then(|| Kind { found: "a text".to_owned(), advice })
}

/// The other layouts of rows that give exactly the file's length.
fn by_size(head: &[u8], file_bytes: u64, format: Format) -> Option<String> {
    let word = |at: usize| head.get(at..at + 4)?.first_chunk().map(|&b| u64::from(u32::from_le_bytes(b)));
    let (first, second) = (word(0)?, word(4)?);
    let is_width = |width: u64| (1..=DIM_MAX as u64).contains(&width); // CAST: widening
    let vecs = matches!(format, Format::Fvecs | Format::Bvecs | Format::Ivecs);
    let own_bytes = match format {
        Format::Ibin | Format::Ivecs => Some(4),
        _ => format.dtype().map(|dtype| dtype.bytes() as u64), // CAST: widening
    };
    for (element_bytes, name) in [(4, "fvecs or ivecs"), (1, "bvecs")] {
        let stride = 4 + first.saturating_mul(element_bytes);
        let same = vecs && own_bytes == Some(element_bytes);
        if same || !is_width(first) || !file_bytes.is_multiple_of(stride) || file_bytes / stride < 2 {
            continue;
        }
        // Where the next row's length is in sight it has to be the same.
        let next = usize::try_from(stride).ok().and_then(word);
        if next.is_none_or(|next| next == first) {
            return Some(format!("{name} by its length: rows of {first} elements, each behind its count"));
        }
    }
    let elements = first.checked_mul(second).filter(|_| first > 0 && is_width(second))?;
    for (element_bytes, name) in [(4, "fbin"), (2, "f16bin"), (1, "u8bin or i8bin")] {
        let same = !vecs && own_bytes == Some(element_bytes);
        if !same && elements.checked_mul(element_bytes).and_then(|b| b.checked_add(8)) == Some(file_bytes) {
            let s = if element_bytes == 1 { "" } else { "s" };
            return Some(format!(
                "{name} by its length: {first} rows of {second} elements of {element_bytes} byte{s} behind two counts"
            ));
        }
    }
    None
}
