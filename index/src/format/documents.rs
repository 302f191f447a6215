//! Which vectors are one document: what a manifest says of them, and the section that says it of each vector.
//!
//! ```text
//! documents-N = header, body                              numbers are u32, little-endian
//! 0                   4 (D + 1)                4 (D + 1 + V)
//! +-------------------+------------------------+------------+
//! | offsets           | documents              | ids        |   D documents, V vectors that are searched, T tokens
//! +-------------------+------------------------+------------+
//! offsets    document i is rows offset i .. offset i + 1 of the input; from 0 to T, ascending
//! documents  of the vector at each position of the lists, the number of its document
//! ids        of each document, u64, no two alike; nothing where their numbers are their ids
//! ```
//! The vectors that are searched are the tokens, so that V is T, or encodings of documents ([`EncodingEntry`]), so that V is D.
//! The tokens themselves are a section of vectors, `vectors.tokens-N`, with a record of 4 or 8 bytes of row number each. They lie in the
//! order of the input, so that a document is one range of pages.
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::OpenError;
use super::names::is_hash;
use crate::DType;
use crate::documents::{DocumentOffsets, EncodingSpec};

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
    /// How each document is encoded as one vector, where these are searched in place of tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoding: Option<EncodingEntry>,
}

/// What a manifest says of encodings that are searched in place of tokens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EncodingEntry {
    /// Name of the [`EncodingSpec`].
    pub spec: String,
    /// Seed of its planes and projections.
    pub seed: u64,
    /// Tokens of all documents.
    pub tokens: u64,
}

/// Element type of encodings.
pub const ENCODING_DTYPE: DType = DType::F32;

impl DocumentsEntry {
    pub(super) fn check(&self, path: &Path, vectors: u64) -> Result<(), OpenError> {
        if let Some(encoding) = &self.encoding {
            if self.count != vectors {
                return Err(OpenError::field(path, "count of documents", self.count, vectors));
            }
            let most = u64::from(u32::MAX);
            if !(self.count..=most).contains(&encoding.tokens) {
                let expected = format!("{} to {most}", self.count);
                return Err(OpenError::field(path, "tokens of documents", encoding.tokens, expected));
            }
        }
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

impl EncodingEntry {
    /// The encoding, of tokens of `token_dim` elements, that makes vectors of a type and dimension.
    pub(super) fn check(&self, path: &Path, made: (DType, usize), token_dim: usize) -> Result<(), OpenError> {
        let spec = self.spec(path)?;
        let (dtype, dim) = made;
        if (dtype, dim as u64) != (ENCODING_DTYPE, spec.dim.into()) {
            // CAST: widening
            let expected = format!("{} x {ENCODING_DTYPE}, which {spec} makes", spec.dim);
            return Err(OpenError::field(path, "dim and dtype", format!("{dim} x {dtype}"), expected));
        }
        match spec.wrong_for(token_dim) {
            Some(wrong) => Err(OpenError::field(path, "encoding", wrong, "one that goes with the tokens")),
            None => Ok(()),
        }
    }

    pub(crate) fn spec(&self, path: &Path) -> Result<EncodingSpec, OpenError> {
        self.spec.parse().map_err(|e| OpenError::field(path, "encoding", e, "an encoding of this release"))
    }
}

/// The offsets of documents as the section holds them.
pub fn offsets_bytes(offsets: &DocumentOffsets) -> Vec<u8> {
    offsets.offsets().iter().flat_map(|offset| offset.to_le_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodings_that_take_memory_without_bound_are_refused() {
        let spec = "muvera:R=1024,k=1,d=128,dim=64".to_owned();
        let entry = EncodingEntry { spec, seed: 1, tokens: 1 };
        let error = entry.check(Path::new("index.json"), (DType::F32, 64), 128).unwrap_err().to_string();
        assert!(error.contains("is 16908288, more than 16777216"), "{error}");
        let spec = "muvera:R=1024,k=1,d=127,dim=64".to_owned();
        let entry = EncodingEntry { spec, ..entry };
        assert!(entry.check(Path::new("index.json"), (DType::F32, 64), 128).is_ok());
    }
}
