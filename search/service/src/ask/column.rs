//! A column of an index, as queries and look-ups name it.
use spandrel_index::Index;
use spandrel_index::format::VectorsOf;
use spandrel_names::{QUOTED_MAX, cut};

use super::target::Target;
use crate::refusal::Refusal;

/// The vectors that queries have in a column.
#[derive(Debug, Clone)]
pub(crate) struct AskColumn {
    pub(crate) name: String,
    pub(crate) target: Target,
}

/// Which vectors a name means, empty for those that are searched. `field` has it.
pub(crate) fn column(name: &str, field: &'static str, index: &Index) -> Result<VectorsOf, Refusal> {
    let shown = cut(name, QUOTED_MAX);
    match index.column() {
        _ if name.is_empty() => Ok(VectorsOf::Main),
        Some(column) if column.name == name => Ok(VectorsOf::Column),
        Some(column) => {
            let message = format!("the index has no column {shown:?}, its column is {:?}", column.name);
            Err(Refusal::field(field, message))
        }
        None => Err(Refusal::field(field, format!("the index has no column {shown:?}, nor any other"))),
    }
}
