//! The documents of an index while it is open.
use std::path::PathBuf;

use xxhash_rust::xxh3::xxh3_128;

use super::section::SectionReader;
use super::shape::VectorsShape;
use crate::documents::{DocumentEncoder, DocumentOffsets};
use crate::format::{DocumentsEntry, OpenError, hash_hex};

/// Which vectors are one document.
#[derive(Debug)]
pub struct Documents {
    offsets: DocumentOffsets,
    /// The document of the vector at each position of the lists.
    of_positions: Vec<u32>,
    /// None where numbers are ids.
    ids: Option<DocumentIds>,
    encoder: Option<DocumentEncoder>,
    path: PathBuf,
}

/// Ids of documents.
#[derive(Debug)]
struct DocumentIds {
    /// Of each document.
    of_documents: Vec<u64>,
    /// Documents in the order of their ids.
    sorted: Vec<u32>,
}

impl DocumentIds {
    /// Refuses an id that two documents have, and says which.
    fn new(of_documents: Vec<u64>) -> Result<DocumentIds, u64> {
        let id = |document: u32| of_documents.get(document as usize).copied(); // CAST: widening, here and below
        let mut sorted: Vec<u32> = (0..of_documents.len() as u32).collect(); // CAST: documents are u32
        sorted.sort_unstable_by_key(|&document| id(document));
        let twice = sorted.iter().zip(sorted.get(1..).unwrap_or_default()).find(|&(&a, &b)| id(a) == id(b));
        match twice {
            Some((&document, _)) => Err(id(document).unwrap_or_default()),
            None => Ok(DocumentIds { of_documents, sorted }),
        }
    }

    fn find(&self, id: u64) -> Option<u32> {
        let of = |document: &u32| self.of_documents.get(*document as usize).copied();
        let at = self.sorted.binary_search_by_key(&Some(id), of).ok()?;
        self.sorted.get(at).copied()
    }
}

impl Documents {
    /// Reads the section of `vectors` vectors that are searched, and refuses what contradicts the manifest. `tokens` is what tokens are like.
    pub(super) fn read(
        mut section: SectionReader<'_>,
        entry: &DocumentsEntry,
        vectors: u64,
        tokens: VectorsShape,
    ) -> Result<Documents, OpenError> {
        let path = section.path().to_owned();
        let (found, expected) = (section.body_bytes(), entry.body_bytes(vectors));
        if found != expected {
            return Err(OpenError::field(&path, "body_bytes", found, expected));
        }
        let body = section.read_all()?;
        section.finish()?;
        // CAST: the file is as long, here and below
        let (offsets, rest) = body.split_at(4 * (entry.count as usize + 1));
        let (positions, ids) = rest.split_at(4 * vectors as usize);
        check_hash(&path, "hash of offsets", offsets, &entry.offsets_hash)?;
        let numbers = |bytes: &[u8]| -> Vec<u32> {
            bytes.as_chunks::<4>().0.iter().map(|&number| u32::from_le_bytes(number)).collect()
        };
        let offsets: Vec<u64> = numbers(offsets).into_iter().map(u64::from).collect();
        let rows = entry.encoding.as_ref().map_or(vectors, |encoding| encoding.tokens);
        let offsets = DocumentOffsets::new(&offsets, rows)
            .map_err(|e| OpenError::field(&path, "offsets", e, "those of documents"))?;
        let of_positions = numbers(positions);
        let bad = |&(_, &document): &(usize, &u32)| document as usize >= offsets.documents(); // CAST: widening
        if let Some((position, document)) = of_positions.iter().enumerate().find(bad) {
            let (field, count) = (format!("document of position {position}"), offsets.documents());
            return Err(OpenError::field(&path, field, document, format!("below {count}")));
        }
        let ids = match &entry.ids_hash {
            None => None,
            Some(hash) => {
                check_hash(&path, "hash of ids", ids, hash)?;
                let ids = ids.as_chunks::<8>().0.iter().map(|&id| u64::from_le_bytes(id)).collect();
                let ids = DocumentIds::new(ids);
                Some(ids.map_err(|id| OpenError::field(&path, "ids", format!("{id} twice"), "no two alike"))?)
            }
        };
        let encoder = match &entry.encoding {
            Some(encoding) => {
                let VectorsShape { dtype, dim, .. } = tokens;
                Some(DocumentEncoder::new(encoding.spec(&path)?, dtype, dim, encoding.seed))
            }
            None => None,
        };
        Ok(Documents { offsets, of_positions, ids, encoder, path })
    }

    /// What encodes query documents, where encodings are searched in place of tokens: then each position of the lists is a document.
    pub fn encoder(&self) -> Option<&DocumentEncoder> {
        self.encoder.as_ref()
    }

    /// Which rows of the input, and records of the tokens' pages, are a document.
    pub fn offsets(&self) -> &DocumentOffsets {
        &self.offsets
    }

    /// The document of the vector at each position of the lists.
    pub fn of_positions(&self) -> &[u32] {
        &self.of_positions
    }

    /// The id of a document by its number: the number itself, unless documents have ids of their own.
    pub fn id(&self, document: u32) -> u64 {
        let own = self.ids.as_ref().and_then(|ids| ids.of_documents.get(document as usize)); // CAST: widening
        own.copied().unwrap_or(document.into())
    }

    /// The number of the document with an id, if there is one.
    pub fn find(&self, id: u64) -> Option<u32> {
        match &self.ids {
            Some(ids) => ids.find(id),
            None => u32::try_from(id).ok().filter(|&document| (document as usize) < self.offsets.documents()), // CAST: widening
        }
    }

    /// What messages call the file.
    pub(crate) fn path(&self) -> &std::path::Path {
        &self.path
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        let ids =
            self.ids.as_ref().map_or(0, |ids| 8 * ids.of_documents.capacity() + 4 * ids.sorted.capacity());
        let encoder = self.encoder.as_ref().map_or(0, DocumentEncoder::memory_bytes);
        4 * (self.offsets.offsets().len() + self.of_positions.capacity()) + ids + encoder
    }
}

fn check_hash(path: &std::path::Path, field: &str, bytes: &[u8], expected: &str) -> Result<(), OpenError> {
    let found = hash_hex(xxh3_128(bytes));
    if found == expected { Ok(()) } else { Err(OpenError::field(path, field, found, expected)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_found_by_their_ids() {
        let ids = DocumentIds::new(vec![70, 3, u64::MAX, 12]).unwrap();
        assert_eq!(
            [70, 3, u64::MAX, 12, 4, 0].map(|id| ids.find(id)),
            [Some(0), Some(1), Some(2), Some(3), None, None]
        );
        assert_eq!(DocumentIds::new(vec![5, 3, 9, 3]).unwrap_err(), 3);
    }
}
