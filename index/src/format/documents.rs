//! Which vectors are one document: what a manifest says of them, and the section that says it of each vector.
//!
//! ```text
//! documents-N = header, body                              numbers are u32, little-endian
//! 0                   4 (D + 1)                4 (D + 1 + V)
//! +-------------------+------------------------+------------+
//! | offsets           | documents              | ids        |   D documents, V vectors
//! +-------------------+------------------------+------------+
//! offsets    document i is rows offset i .. offset i + 1 of the input; from 0 to V, ascending
//! documents  of the vector at each position of the lists, the number of its document
//! ids        of each document, u64, no two alike; nothing where their numbers are their ids
//! ```
//! The tokens themselves are a section of vectors, `vectors.tokens-N`, with a record of 4 or 8 bytes of row number each. They lie in the
//! order of the input, so that a document is one range of pages.
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::OpenError;
use super::names::is_hash;
use crate::documents::DocumentOffsets;

/// Name of the column of an index of documents, whose vectors lie in the order of the input.
pub const TOKENS_COLUMN: &str = "tokens";

/// What a manifest says of documents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DocumentsEntry {
    /// Number of documents.
    pub count: u64,
    /// xxh3-128 of the offsets, `u32` each.
    pub offsets_hash: String,
    /// xxh3-128 of their ids, `u64` each; none where their numbers are their ids.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ids_hash: Option<String>,
}

impl DocumentsEntry {
    pub(super) fn check(&self, path: &Path, vectors: u64) -> Result<(), OpenError> {
        if self.count == 0 || self.count > vectors {
            return Err(OpenError::field(path, "count of documents", self.count, format!("1 to {vectors}")));
        }
        if !is_hash(&self.offsets_hash) {
            return Err(OpenError::field(path, "offsets_hash", &self.offsets_hash, "32 hex digits"));
        }
        match &self.ids_hash {
            Some(hash) if !is_hash(hash) => Err(OpenError::field(path, "ids_hash", hash, "32 hex digits")),
            _ => Ok(()),
        }
    }

    /// Bytes of the section's body, for documents of `vectors` vectors.
    pub fn body_bytes(&self, vectors: u64) -> u64 {
        4 * (self.count + 1 + vectors) + if self.ids_hash.is_some() { 8 * self.count } else { 0 }
    }
}

/// The offsets of documents as the section holds them.
pub fn offsets_bytes(offsets: &DocumentOffsets) -> Vec<u8> {
    offsets.offsets().iter().flat_map(|offset| offset.to_le_bytes()).collect()
}
