//! Parts of explanations, for people and for programs.
use serde_json::{Value, json};
use spandrel_engine::ExplainedList;

use crate::figures::short;

/// A list whose head was considered.
pub(super) fn json_list(of: &ExplainedList) -> Value {
    json!({
        "segment": of.segment,
        "list": of.list,
        "head_distance": short(of.head_distance),
        "fate": of.fate.name(),
        "scanned": of.scanned,
    })
}

/// How many are not told.
pub(super) fn more(more: u32) -> String {
    if more > 0 { format!("and {more} more\n") } else { String::new() }
}
