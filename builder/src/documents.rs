//! Documents of a build: which vectors are one.
use spandrel_index::Metric;
use spandrel_index::codes::CodeSpec;
use spandrel_index::format::{DocumentsEntry, TOKENS_COLUMN, hash_hex, offsets_bytes};
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

use crate::{BuildError, Column, IdSource, Input};

/// Ids that are read at a time.
const PIECE_IDS: usize = 1 << 17;

/// Documents as they will be built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DocumentsParams {
    pub(crate) count: u64,
    /// xxh3-128 of the offsets, in hex digits.
    pub(crate) offsets_hash: String,
    /// The same of their ids, where they have some of their own.
    pub(crate) ids_hash: Option<String>,
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
        if let Some(by) = input.attributes.and_then(|attributes| attributes.partition_by) {
            let expected = "none with --documents: lists hold tokens, and attributes are of documents";
            return refused("--partition-by", by.to_owned(), expected);
        }
        let offsets_hash = hash_hex(xxh3_128(&offsets_bytes(offsets)));
        let count = offsets.documents() as u64; // CAST: usize is 64 bits
        let ids_hash = input.document_ids().map(|ids| check_ids(ids, count)).transpose()?;
        Ok(Some(DocumentsParams { count, offsets_hash, ids_hash }))
    }

    /// As a manifest tells of them.
    pub(crate) fn entry(&self) -> DocumentsEntry {
        DocumentsEntry {
            count: self.count,
            offsets_hash: self.offsets_hash.clone(),
            ids_hash: self.ids_hash.clone(),
        }
    }

    /// Bytes that reading, checking and writing their ids takes.
    pub(crate) fn ids_bytes(&self) -> u64 {
        if self.ids_hash.is_some() { 8 * self.count + 8 * PIECE_IDS as u64 } else { 0 } // CAST: widening
    }
}

/// The hash of the ids of `count` documents, which must differ.
fn check_ids(ids: &dyn IdSource, count: u64) -> Result<String, BuildError> {
    let (mut hash, mut all) = (Xxh3::new(), Vec::with_capacity(count as usize)); // CAST: usize is 64 bits
    read_ids(ids, count, |piece, bytes| {
        all.extend_from_slice(piece);
        hash.update(bytes);
        Ok(())
    })?;
    all.sort_unstable();
    match all.iter().zip(&all[1..]).find(|(a, b)| a == b) {
        Some((&id, _)) => Err(BuildError::DuplicateId { id }),
        None => Ok(hash_hex(hash.digest128())),
    }
}

/// Hands the ids of `count` documents to `each`, piece by piece, also as they are written.
pub(crate) fn read_ids(
    ids: &dyn IdSource,
    count: u64,
    mut each: impl FnMut(&[u64], &[u8]) -> Result<(), BuildError>,
) -> Result<(), BuildError> {
    let (mut piece, mut bytes) = (Vec::new(), Vec::new());
    for first in (0..count).step_by(PIECE_IDS) {
        piece.resize((PIECE_IDS as u64).min(count - first) as usize, 0); // CAST: at most PIECE_IDS
        ids.read_ids(first, &mut piece)?;
        bytes.clear();
        bytes.extend(piece.iter().flat_map(|id| id.to_le_bytes()));
        each(&piece, &bytes)?;
    }
    Ok(())
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

    /// Ids of the vectors, where they have some of their own.
    pub(crate) fn row_ids(&self) -> Option<&'a dyn IdSource> {
        self.ids.filter(|_| self.documents.is_none())
    }

    /// Ids of the documents, where they have some of their own.
    pub(crate) fn document_ids(&self) -> Option<&'a dyn IdSource> {
        self.ids.filter(|_| self.documents.is_some())
    }

    /// Number of what ids and attributes are of: documents where there are some, or vectors.
    pub(crate) fn items(&self) -> u64 {
        self.documents.map_or(self.vectors.len(), |offsets| offsets.documents() as u64) // CAST: usize is 64 bits
    }
}
