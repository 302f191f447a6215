//! Which version of a model vectors come from, as a build is told.
use spandrel_index::format::EmbeddingEntry;

use crate::BuildError;

/// Refuses what cannot be a version, and versions that are named twice.
pub(crate) fn check(embedding: Option<&EmbeddingEntry>) -> Result<(), BuildError> {
    match embedding.and_then(EmbeddingEntry::fault) {
        Some((found, expected)) => {
            Err(BuildError::Parameter { parameter: "--embedding-version", found, expected })
        }
        None => Ok(()),
    }
}

/// How they are called in fingerprints.
pub(crate) fn text(embedding: Option<&EmbeddingEntry>) -> String {
    let versions: Vec<&str> = embedding.into_iter().flat_map(EmbeddingEntry::versions).collect();
    if versions.is_empty() { "none".to_owned() } else { versions.join(", ") }
}
