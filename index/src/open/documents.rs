//! The documents of an index while it is open.
use std::path::PathBuf;

use xxhash_rust::xxh3::xxh3_128;

use super::section::SectionReader;
use crate::documents::DocumentOffsets;
use crate::format::{DocumentsEntry, OpenError, documents_bytes, hash_hex};

/// Which vectors are one document.
#[derive(Debug)]
pub struct Documents {
    offsets: DocumentOffsets,
    /// The document of the vector at each position of the lists.
    of_positions: Vec<u32>,
    path: PathBuf,
}

impl Documents {
    /// Reads the section of `vectors` vectors, and refuses what contradicts the manifest.
    pub(super) fn read(
        mut section: SectionReader<'_>,
        entry: &DocumentsEntry,
        vectors: u64,
    ) -> Result<Documents, OpenError> {
        let path = section.path().to_owned();
        let (found, expected) = (section.body_bytes(), documents_bytes(entry.count, vectors));
        if found != expected {
            return Err(OpenError::field(&path, "body_bytes", found, expected));
        }
        let body = section.read_all()?;
        section.finish()?;
        let (offsets, positions) = body.split_at(4 * (entry.count as usize + 1)); // CAST: the file is as long
        let found = hash_hex(xxh3_128(offsets));
        if found != entry.offsets_hash {
            return Err(OpenError::field(&path, "hash of offsets", found, &entry.offsets_hash));
        }
        let numbers = |bytes: &[u8]| -> Vec<u32> {
            bytes.as_chunks::<4>().0.iter().map(|&number| u32::from_le_bytes(number)).collect()
        };
        let offsets: Vec<u64> = numbers(offsets).into_iter().map(u64::from).collect();
        let offsets = DocumentOffsets::new(&offsets, vectors)
            .map_err(|e| OpenError::field(&path, "offsets", e, "those of documents"))?;
        let of_positions = numbers(positions);
        let bad = |&(_, &document): &(usize, &u32)| document as usize >= offsets.documents(); // CAST: widening
        if let Some((position, document)) = of_positions.iter().enumerate().find(bad) {
            let (field, count) = (format!("document of position {position}"), offsets.documents());
            return Err(OpenError::field(&path, field, document, format!("below {count}")));
        }
        Ok(Documents { offsets, of_positions, path })
    }

    /// Which rows of the input, and records of the tokens' pages, are a document.
    pub fn offsets(&self) -> &DocumentOffsets {
        &self.offsets
    }

    /// The document of the vector at each position of the lists.
    pub fn of_positions(&self) -> &[u32] {
        &self.of_positions
    }

    /// What messages call the file.
    pub(crate) fn path(&self) -> &std::path::Path {
        &self.path
    }

    /// Bytes of memory.
    pub(crate) fn memory_bytes(&self) -> usize {
        4 * (self.offsets.offsets().len() + self.of_positions.capacity())
    }
}
