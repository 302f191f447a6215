//! Documents of a build: which vectors are one.
use std::sync::atomic::AtomicBool;

use spandrel_index::Metric;
use spandrel_index::codes::CodeSpec;
use spandrel_index::documents::{DocumentEncoder, EncodingSpec};
use spandrel_index::format::{DocumentsEntry, EncodingEntry, TOKENS_COLUMN, hash_hex, offsets_bytes};
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

use crate::encoded::EncodedDocuments;
use crate::{BuildError, Column, IdSource, Input};

/// Ids that are read at a time.
const PIECE_IDS: usize = 1 << 17;

/// Documents as they will be built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DocumentsParams {
    pub(crate) count: u64,
    /// xxh3-128 of the offsets, in hex digits.
    pub(crate) offsets_hash: String,
    /// The same of their ids, where they have some of their own; empty until [`DocumentsParams::read_ids`].
    pub(crate) ids_hash: Option<String>,
    /// Tokens of all documents.
    pub(crate) tokens: u64,
    /// How documents are encoded, where lists are made of encodings, and the seed of that.
    pub(crate) encoding: Option<Encoding>,
}

/// How documents are encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Encoding {
    pub(crate) spec: EncodingSpec,
    pub(crate) seed: u64,
}

impl DocumentsParams {
    /// Those of an input that is compared by `metric` and held in lists of `code`; refused with anything that documents do not go with. Encodings
    /// have the seed of the build.
    pub(crate) fn of(
        input: Input<'_>,
        metric: Metric,
        code: CodeSpec,
        seed: u64,
    ) -> Result<Option<DocumentsParams>, BuildError> {
        let refused = |parameter, found: String, expected: &str| {
            Err(BuildError::Parameter { parameter, found, expected: expected.to_owned() })
        };
        let encoding = input.document_encoding.map(|spec| Encoding { spec, seed });
        let Some(offsets) = input.documents else {
            return match encoding {
                Some(Encoding { spec, .. }) => {
                    refused("--document-encoding", spec.to_string(), "--documents with it")
                }
                None => Ok(None),
            };
        };
        let dim = input.vectors.dim();
        if let Some((spec, wrong)) = encoding.and_then(|of| Some((of.spec, of.spec.wrong_for(dim)?))) {
            return refused(
                "--document-encoding",
                format!("{spec}: {wrong}"),
                "less of these, or wider tokens",
            );
        }
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
        let ids_hash = input.document_ids().map(|_| String::new());
        Ok(Some(DocumentsParams { count, offsets_hash, tokens: offsets.rows(), ids_hash, encoding }))
    }

    /// Reads their ids, where they have some of their own, and refuses two of one id: within the memory that the plan counts for them, so that it
    /// is checked before.
    pub(crate) fn read_ids(&mut self, input: Input<'_>) -> Result<(), BuildError> {
        if let Some(ids) = input.document_ids() {
            self.ids_hash = Some(check_ids(ids, self.count)?);
        }
        Ok(())
    }

    /// How they are called in fingerprints.
    pub(crate) fn text(&self) -> String {
        match self.encoding {
            Some(Encoding { spec, .. }) => format!("{} by {spec}", self.offsets_hash),
            None => self.offsets_hash.clone(),
        }
    }

    /// Bytes of memory of what encodes queries.
    pub(crate) fn encoder_bytes(&self, token_dim: usize) -> u64 {
        self.encoding.map_or(0, |of| DocumentEncoder::bytes(of.spec, token_dim) as u64) // CAST: widening
    }

    /// Bytes of memory that encoding takes on some threads.
    pub(crate) fn encoding_bytes(&self, token_dim: usize, threads: usize) -> u64 {
        self.encoding.map_or(0, |of| EncodedDocuments::memory_bytes(of.spec, token_dim, threads))
    }

    /// As a manifest tells of them.
    pub(crate) fn entry(&self) -> DocumentsEntry {
        let encoding = self.encoding.map(|Encoding { spec, seed }| EncodingEntry {
            spec: spec.to_string(),
            seed,
            tokens: self.tokens,
        });
        DocumentsEntry {
            count: self.count,
            offsets_hash: self.offsets_hash.clone(),
            ids_hash: self.ids_hash.clone(),
            encoding,
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
    /// The encodings of its documents, where lists are made of these. It was checked. Reading them ends soon after `stop` becomes true.
    pub(crate) fn encoded(
        &self,
        params: Option<&DocumentsParams>,
        stop: &'a AtomicBool,
    ) -> Option<EncodedDocuments<'a>> {
        let Encoding { spec, seed } = params?.encoding?;
        Some(EncodedDocuments::new(self.vectors, self.documents?, spec, seed, stop))
    }

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

#[cfg(test)]
mod tests {
    use spandrel_index::documents::DocumentOffsets;

    use super::*;
    use crate::run::tests::clustered;

    #[test]
    fn encodings_that_take_memory_without_bound_are_refused() {
        let (tokens, offsets) = (clustered(4, 128), DocumentOffsets::new(&[0, 1, 4], 4).unwrap());
        let of = |spec: &str| {
            let document_encoding = Some(spec.parse().unwrap());
            let input = Input { documents: Some(&offsets), document_encoding, ..Input::of(&tokens) };
            DocumentsParams::of(input, Metric::InnerProduct, CodeSpec::RaBitQ { bits: 1 }, 1)
        };
        let error = of("muvera:R=1024,k=1,d=128,dim=64").unwrap_err().to_string();
        assert!(error.contains("is 16908288, more than 16777216"), "{error}");
        assert!(of("muvera:R=1024,k=1,d=127,dim=64").is_ok());
    }
}
