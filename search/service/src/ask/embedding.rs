//! Which version of a model queries come from.
use spandrel_index::Index;

use crate::refusal::Refusal;

/// Refuses queries of a version that the index does not list.
pub(crate) fn check_version(index: &Index, field: &'static str, asked: Option<&str>) -> Result<(), Refusal> {
    index.manifest().answers_version(asked).map_err(|error| Refusal::field(field, error.to_string()))
}
