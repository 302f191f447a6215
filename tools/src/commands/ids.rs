//! The caller's numbers for vectors, from a file.
use spandrel_builder::IdSource;
use spandrel_datasets::IdFile;
use spandrel_index::SourceError;

/// A file of ids as the builder takes it.
pub(super) struct Ids(pub(super) IdFile);

impl IdSource for Ids {
    fn len(&self) -> u64 {
        self.0.len()
    }

    fn read_ids(&self, first: u64, out: &mut [u64]) -> Result<(), SourceError> {
        self.0.read_ids(first, out)
    }
}
