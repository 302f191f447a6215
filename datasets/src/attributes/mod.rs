//! Files of attributes and of filters.
mod cell;
mod columns;
mod error;
mod fields;
mod filters;
mod infer;
mod lines;
mod matrix;
mod metadata;
mod plain;
mod row_filters;
mod row_ids;
mod schema;
mod value;

use std::path::Path;

use spandrel_filter::Schema;
use spandrel_index::AttributeSource;

use crate::watch::Watch;
pub use columns::NpyColumns;
pub use error::{AttributeFileError, LINE_BYTES_MAX, Place, RowProblem, SchemaProblem};
pub use filters::{BoundFilters, Filters};
pub use lines::JsonLines;
pub use matrix::TagMatrix;
pub use row_filters::{RowFilters, RowFiltersError};
pub use row_ids::BaseRows;
pub use schema::read_schema;

/// Opens attributes, the format told by the name: `.jsonl`, `.spmat`, or a folder of `.npy` files. Reads all once and checks
/// it. Ids stand in JSON lines alone; the other formats hold a row for each vector in their order.
///
/// # Errors
/// See [`JsonLines::open`], [`TagMatrix::open`] and [`NpyColumns::open`].
pub fn open_attributes<'a>(
    path: &Path,
    base: BaseRows<'a>,
    schema: Option<Schema>,
    watch: Watch<'_>,
) -> Result<Box<dyn AttributeSource + 'a>, AttributeFileError> {
    if metadata::metadata_of(path)?.is_dir() {
        return Ok(Box::new(NpyColumns::open(path, base.rows, schema, watch)?));
    }
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("jsonl") => Ok(Box::new(JsonLines::open(path, base, schema, watch)?)),
        Some("spmat") => Ok(Box::new(TagMatrix::open(path, base.rows, schema, watch)?)),
        _ => Err(AttributeFileError::UnknownFormat { path: path.to_owned() }),
    }
}
