//! Files that can be read more than once.
use std::fs::Metadata;
use std::path::Path;

use super::error::AttributeFileError;

/// What is at a path, a file or a folder. A pipe is refused before anyone opens it, which would wait for its other end.
pub(super) fn metadata_of(path: &Path) -> Result<Metadata, AttributeFileError> {
    let found = fs_err::metadata(path)?;
    match found.is_file() || found.is_dir() {
        true => Ok(found),
        false => Err(AttributeFileError::NoFile { path: path.to_owned() }),
    }
}
