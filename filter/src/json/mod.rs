//! Filters in JSON: `{"price": {"$lt": 1500}, "tags": {"$contains": "red"}}`.
mod read;
mod tree;

pub use read::{FromJsonError, JsonProblem};
pub use tree::{Json, JsonError};

use crate::expression::Filter;
use crate::limits::FILTER_BYTES_MAX;

impl Filter {
    /// Reads a filter in JSON. An object holds attributes and what is asked of them, all of which a row must match:
    /// a value, which it must be equal to, or an object of `$eq $ne $lt $lte $gt $gte $in $nin $between $exists $contains
    /// $containsAny $containsAll $not`. Beside attributes stand `$and` and `$or` with an array of filters, and `$not` with
    /// one. `id` is the id of the row.
    ///
    /// # Errors
    /// Text that is too long, no JSON, has a key twice, or says something else.
    pub fn from_json(text: &str) -> Result<Filter, FromJsonError> {
        if text.len() > FILTER_BYTES_MAX {
            return Err(FromJsonError::top(JsonProblem::Bytes(text.len())));
        }
        let json = Json::parse(text).map_err(|error| FromJsonError::top(JsonProblem::Json(error)))?;
        Filter::from_json_tree(&json)
    }

    /// Like [`Filter::from_json`], of JSON that was read before.
    ///
    /// # Errors
    /// JSON that is no filter.
    pub fn from_json_tree(json: &Json) -> Result<Filter, FromJsonError> {
        read::filter(json)
    }
}

#[cfg(test)]
mod tests;
