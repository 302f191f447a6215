//! How the lists of a segment follow the values of an attribute.
use std::path::Path;

use serde::{Deserialize, Serialize};
use spandrel_filter::{AttributeType, Schema};

use super::{Directory, OpenError};

/// The partition of a segment: a value of many vectors has lists of its own, all others share the last lists in the order of
/// their values. Values are in the order of keywords by bytes, `false` before `true`, or of numbers; vectors without a value are
/// one more, the last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartitionEntry {
    /// Name of the attribute: a keyword, a bool or an i64.
    pub attribute: String,
    /// Vectors from which on a value has lists of its own.
    pub own_vectors_min: u64,
    /// Values that have.
    pub own_values: u64,
    /// The last lists, which all other values share.
    pub shared_lists: u64,
    /// Their vectors, the last positions.
    pub shared_vectors: u64,
}

impl PartitionEntry {
    /// Lists of `lists` that are found by their heads: those of values that have some, or all where none has.
    pub fn found_lists(&self, lists: u64) -> u64 {
        match lists.saturating_sub(self.shared_lists) {
            0 => lists,
            own => own,
        }
    }

    /// Which field cannot be so in a segment of these lists, vectors and attributes: what was found and expected.
    pub(super) fn check(
        &self,
        lists: u64,
        vectors: u64,
        schema: &Schema,
    ) -> Result<(), (&'static str, String, String)> {
        let attribute = schema.find(&self.attribute).and_then(|at| schema.attributes().get(at));
        let is_fit = |kind| matches!(kind, AttributeType::Keyword | AttributeType::Bool | AttributeType::I64);
        if !attribute.is_some_and(|attribute| is_fit(attribute.kind)) {
            let expected = "an attribute of the segment: a keyword, a bool or an i64".to_owned();
            return Err(("attribute of the partition", self.attribute.clone(), expected));
        }
        let (own_lists, own_vectors) =
            (lists.checked_sub(self.shared_lists), vectors.checked_sub(self.shared_vectors));
        let (Some(own_lists), Some(own_vectors)) = (own_lists, own_vectors) else {
            let found = format!("{} shared lists of {} vectors", self.shared_lists, self.shared_vectors);
            return Err(("partition", found, format!("at most {lists} of {vectors}")));
        };
        let least = self.own_values.checked_mul(self.own_vectors_min);
        let is_possible = (self.shared_lists == 0) == (self.shared_vectors == 0)
            && (own_lists == 0) == (own_vectors == 0)
            && (own_lists == 0) == (self.own_values == 0)
            && self.own_values <= own_lists
            && self.own_vectors_min > 0
            && least.is_some_and(|least| least <= own_vectors);
        if !is_possible {
            let found = format!("{} values", self.own_values);
            let expected = format!(
                "those of {own_lists} lists with {own_vectors} vectors, {} or more each, beside {} lists with {} vectors",
                self.own_vectors_min, self.shared_lists, self.shared_vectors
            );
            return Err(("partition", found, expected));
        }
        Ok(())
    }

    /// Refuses other lists than the directory of the segment has, which has `lists`.
    pub(crate) fn check_directory(
        &self,
        path: &Path,
        lists: u64,
        directory: &Directory,
    ) -> Result<(), OpenError> {
        let first = lists.saturating_sub(self.shared_lists) as u32; // CAST: lists are numbered by u32
        let found = u64::from(directory.first_position(lists as u32) - directory.first_position(first)); // CAST: as above
        if found == self.shared_vectors {
            return Ok(());
        }
        let expected = format!("{found}, as the lists from {first} on have");
        Err(OpenError::field(path, "shared_vectors", self.shared_vectors, expected))
    }
}
