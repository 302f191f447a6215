//! An array of floats that lies somewhere in a file, in the form of an npy file.
#![deny(clippy::indexing_slicing)]
use std::ops::Range;
use std::path::Path;

use fs_err::File;
use spandrel_index::DType;

use super::FileError;
use super::element::Element;
use super::layout::Header;
use super::npy::{self, NpyOrder};

/// Where the values of an array lie. Its lengths were checked against the range of the file that it lies in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NpyArray {
    /// Sizes, the slowest first.
    pub(crate) sizes: Vec<usize>,
    /// Their product.
    pub(crate) values: usize,
    /// Where the values begin in the file.
    pub(crate) data_at: u64,
    /// Whether they are `<f8` rather than `<f4`.
    is_double: bool,
}

/// Which floats are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Floats {
    /// `<f4`.
    Single,
    /// `<f4` and `<f8`.
    Both,
}

impl NpyArray {
    /// Reads the header of the array in `range` of a file.
    ///
    /// # Errors
    /// [`FileError`] for an array of another type, or not in C order, and where its lengths are not those of the range.
    pub(crate) fn open(
        path: &Path,
        file: &File,
        range: Range<u64>,
        types: Floats,
    ) -> Result<NpyArray, FileError> {
        let header = Header::of_npy_in(path, file, range.clone());
        let (text, data_at) = header.npy_text()?;
        let (element, order, sizes) = npy::parse_sizes(&text).map_err(|e| header.npy_error(&e))?;
        let is_double = element == Element::Double;
        let is_taken = (is_double && types == Floats::Both) || element == Element::Vector(DType::F32);
        if !is_taken || order != (NpyOrder { big_endian: false, by_column: false }) {
            let names = if types == Floats::Both { "'<f4' or '<f8'" } else { "'<f4'" };
            let expected = format!("{names} in C order (numpy.ascontiguousarray(x, '<f4'))");
            return Err(header.refuse("npy element type", 0, expected, "another type or order".to_owned()));
        }
        let row_values = sizes.iter().skip(1).try_fold(1_u64, |product, &size| product.checked_mul(size));
        let rows = sizes.first().copied().unwrap_or(1);
        let value_bytes = element.bytes() as u64; // CAST: widening
        let row_bytes = row_values.and_then(|values| values.checked_mul(value_bytes)).unwrap_or(u64::MAX);
        let expected = u128::from(data_at) + u128::from(rows) * u128::from(row_bytes);
        let found = range.end - range.start;
        if expected != u128::from(found) {
            return Err(FileError::Size { path: path.to_owned(), rows, row_bytes, data_at, expected, found });
        }
        Ok(NpyArray {
            sizes: sizes.iter().map(|&size| size as usize).collect(), // CAST: the file holds this many values, or none
            values: ((found - data_at) / value_bytes) as usize,       // CAST: as above
            data_at: range.start + data_at,
            is_double,
        })
    }

    /// Appends the values of some whole values as they lie in the file.
    pub(crate) fn push_values(&self, bytes: &[u8], out: &mut Vec<f64>) {
        if self.is_double {
            out.extend(bytes.as_chunks::<8>().0.iter().map(|&x| f64::from_le_bytes(x)));
        } else {
            out.extend(bytes.as_chunks::<4>().0.iter().map(|&x| f64::from(f32::from_le_bytes(x))));
        }
    }
}
