//! What an open index holds in memory.
use super::{Documents, Index, ResidentCodes, ResidentIds, ResidentVectors};
use crate::attributes::StoredAttribute;
use crate::format::VectorsOf;

/// Bytes of memory that an open index holds, by what they are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Memory {
    /// Rows of the heads.
    pub heads: usize,
    /// Graph over the heads.
    pub head_index: usize,
    /// Where each list lies, and its hash.
    pub directory: usize,
    /// Ids of all vectors, where they were asked for.
    pub resident_ids: usize,
    /// Codes in memory, and what is needed to use codes anywhere.
    pub codes: usize,
    /// Vectors in memory.
    pub vectors: usize,
    /// Which vectors are one document.
    pub documents: usize,
    /// Dictionaries and places of attributes, all of those that are resident, and postings that were read.
    pub attributes: usize,
}

impl Memory {
    /// All of them together.
    pub fn total(&self) -> usize {
        self.heads
            + self.head_index
            + self.directory
            + self.resident_ids
            + self.codes
            + self.vectors
            + self.documents
            + self.attributes
    }
}

impl Index {
    /// Bytes of memory it holds.
    pub fn memory(&self) -> Memory {
        let mut memory = Memory { attributes: self.postings.memory_bytes(), ..Memory::default() };
        for (number, segment) in self.segments.iter().enumerate() {
            if usize::from(segment.heads_of) == number {
                memory.heads += segment.heads.memory_bytes();
                memory.head_index += segment.head_index.memory_bytes();
                memory.codes += segment.model.as_ref().map_or(0, |model| model.memory_bytes());
            }
            memory.directory += segment.directory.memory_bytes();
            memory.codes += segment.codes.resident.as_ref().map_or(0, ResidentCodes::memory_bytes);
            let held = [VectorsOf::Main, VectorsOf::Column].into_iter().filter_map(|of| segment.held(of));
            let resident = held.filter_map(|vectors| vectors.resident.as_ref());
            memory.documents += segment.documents().map_or(0, Documents::memory_bytes);
            memory.vectors += resident.map(ResidentVectors::memory_bytes).sum::<usize>();
            memory.attributes +=
                segment.attributes().iter().map(StoredAttribute::memory_bytes).sum::<usize>();
            memory.resident_ids += segment.ids.resident.as_ref().map_or(0, ResidentIds::memory_bytes);
        }
        memory
    }
}
