//! A column of vectors beside those that are searched: what a manifest says of it.
use std::path::Path;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_128;

use super::names::is_hash;
use super::{OpenError, SectionKind};
use crate::{DIM_MAX, DType, Metric};

/// Bytes of a column's name at most.
const NAME_BYTES_MAX: usize = 64;

/// Which of an index's vectors are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum VectorsOf {
    /// Those that are searched: lists and codes are of them.
    #[default]
    Main,
    /// Those of its other column, by which candidates are compared.
    Column,
}

/// Vectors at the same positions as those that are searched, of another dimension, element type or metric. Their pages are a section of
/// vectors with the column's name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ColumnEntry {
    /// What queries call it: see [`ColumnEntry::is_name`].
    pub name: String,
    /// Name of the metric by which its vectors are compared.
    pub metric: String,
    /// Name of the element type.
    pub dtype: String,
    /// Elements of a vector.
    pub dim: usize,
    /// xxh3-128 of its input rows.
    pub input_hash: String,
}

impl ColumnEntry {
    /// Whether a column may be called so: a letter, then letters, digits and underscores, 64 bytes at most.
    pub fn is_name(name: &str) -> bool {
        name.len() <= NAME_BYTES_MAX
            && name.starts_with(|first: char| first.is_ascii_alphabetic())
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    }

    /// Metric by the name in the manifest.
    pub fn metric(&self) -> Result<Metric, spandrel_names::UnknownName> {
        self.metric.parse()
    }

    /// The element type.
    pub fn dtype(&self) -> Result<DType, spandrel_names::UnknownName> {
        self.dtype.parse()
    }

    pub(super) fn check(&self, path: &Path) -> Result<(), OpenError> {
        let refused = |field: &str, found: &dyn ToString, expected: &str| {
            Err(OpenError::field(path, format!("{field} of the column"), found.to_string(), expected))
        };
        if !ColumnEntry::is_name(&self.name) {
            return refused("name", &self.name, "a letter, then letters, digits and underscores");
        }
        if self.metric().is_err() {
            return refused("metric", &self.metric, "l2, ip or cosine");
        }
        if self.dtype().is_err() {
            return refused("dtype", &self.dtype, "f32, f16, i8 or u8");
        }
        if self.dim == 0 || self.dim > DIM_MAX {
            return refused("dim", &self.dim, &format!("1 to {DIM_MAX}"));
        }
        if !is_hash(&self.input_hash) {
            return refused("input_hash", &self.input_hash, "32 hex digits");
        }
        Ok(())
    }
}

/// What the header and the pages of a column carry in place of the uuid of their segment, so that no page of one column passes for one of
/// another.
pub fn column_uuid(segment: u128, column: &str) -> u128 {
    let mut bytes = segment.to_le_bytes().to_vec();
    bytes.extend_from_slice(column.as_bytes());
    xxh3_128(&bytes)
}

/// File name of the vectors of a column of a version.
pub fn column_name(column: &str, version: u64) -> String {
    format!("{}.{column}-{version}", SectionKind::Vectors.name())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short_words() {
        for name in ["fine", "Fine_384", "f"] {
            assert!(ColumnEntry::is_name(name), "{name}");
        }
        let long = "a".repeat(65);
        for name in ["", "3d", "_fine", "a-b", "a.b", "a/b", "fein\u{e9}", &long] {
            assert!(!ColumnEntry::is_name(name), "{name}");
        }
    }

    #[test]
    fn a_column_has_pages_of_its_own() {
        assert_ne!(column_uuid(7, "fine"), column_uuid(7, "coarse"));
        assert_ne!(column_uuid(7, "fine"), column_uuid(8, "fine"));
        assert_ne!(column_uuid(7, "fine"), 7);
    }
}
