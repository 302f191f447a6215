//! Names that indexes are served under.
use spandrel_service::{IndexNameError, check_index_name};

/// Reads a name that an index can be served under.
///
/// # Errors
/// Text that is no such name.
pub fn parse_index_name(text: &str) -> Result<String, IndexNameError> {
    check_index_name(text).map(|()| text.to_owned())
}
