//! Documents of a build: which vectors are one.
use spandrel_index::Metric;
use spandrel_index::codes::CodeSpec;
use spandrel_index::format::{DocumentsEntry, TOKENS_COLUMN, hash_hex, offsets_bytes};
use xxhash_rust::xxh3::xxh3_128;

use crate::{BuildError, Column, Input};

/// Documents as they will be built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DocumentsParams {
    pub(crate) count: u64,
    /// xxh3-128 of the offsets, in hex digits.
    pub(crate) offsets_hash: String,
}

impl DocumentsParams {
    /// Those of an input that is compared by `metric` and held in lists of `code`; refused with anything that documents do not go with.
    pub(crate) fn of(
        input: Input<'_>,
        metric: Metric,
        code: CodeSpec,
    ) -> Result<Option<DocumentsParams>, BuildError> {
        let Some(offsets) = input.documents else { return Ok(None) };
        let refused = |parameter, found: String, expected: &str| {
            Err(BuildError::Parameter { parameter, found, expected: expected.to_owned() })
        };
        if offsets.rows() != input.vectors.len() {
            let expected = format!("{}, the rows of --base", input.vectors.len());
            return refused("--documents: rows covered", offsets.rows().to_string(), &expected);
        }
        if metric != Metric::InnerProduct {
            return refused("--metric", metric.to_string(), "ip with --documents, which MaxSim sums");
        }
        if code == CodeSpec::Full {
            return refused("--code", code.to_string(), "another code with --documents: lists hold codes");
        }
        if input.column.is_some() {
            return refused("--column", "a column".to_owned(), "none with --documents");
        }
        if input.ids.is_some() {
            return refused(
                "--ids",
                "a file".to_owned(),
                "none with --documents: answers are numbers of documents",
            );
        }
        if input.attributes.is_some() {
            return refused(
                "--attributes",
                "a file".to_owned(),
                "none with --documents: no filters of them so far",
            );
        }
        let offsets_hash = hash_hex(xxh3_128(&offsets_bytes(offsets)));
        let count = offsets.documents() as u64; // CAST: usize is 64 bits
        Ok(Some(DocumentsParams { count, offsets_hash }))
    }

    /// As a manifest tells of them.
    pub(crate) fn entry(&self) -> DocumentsEntry {
        DocumentsEntry { count: self.count, offsets_hash: self.offsets_hash.clone() }
    }
}

impl<'a> Input<'a> {
    /// As phases take it: tokens of documents are a column of the vectors themselves, in the order of the input.
    pub(crate) fn with_tokens(self) -> Input<'a> {
        let tokens = Column {
            name: TOKENS_COLUMN,
            vectors: self.vectors,
            metric: Metric::InnerProduct,
            keep_main: false,
        };
        match self.documents {
            Some(_) => Input { column: Some(tokens), ..self },
            None => self,
        }
    }
}
