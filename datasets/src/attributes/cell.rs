//! Values of JSON as cells.
use spandrel_filter::{AttributeType, Cell, Tags, VALUE_BYTES_MAX, parse_timestamp};

use super::error::RowProblem;
use super::value::Value;

/// A value of JSON in an attribute of a type.
pub(super) fn cell_of(name: &str, kind: AttributeType, value: Value<'_>) -> Result<Cell, RowProblem> {
    check(name, kind, value)?;
    Ok(match value {
        Value::Text(text) if kind == AttributeType::Keyword => Cell::Keyword(text.to_owned()),
        Value::Array(list) => {
            let mut texts: Vec<(u64, &str)> = list.iter().map(|text| (first_bytes(text), text)).collect();
            texts.sort_unstable();
            texts.dedup();
            if texts.is_empty() {
                Cell::Null
            } else {
                Cell::Tags(Tags::of_texts(texts.iter().map(|of| of.1)))
            }
        }
        other => number_of(name, kind, other)?,
    })
}

/// The first bytes of a text as a number, which has the order of texts where it differs.
fn first_bytes(text: &str) -> u64 {
    let mut first = [0; 8];
    first.iter_mut().zip(text.as_bytes()).for_each(|(to, from)| *to = *from);
    u64::from_le_bytes(first).swap_bytes()
}

/// Refuses a value that an attribute of a type does not hold.
pub(super) fn check(name: &str, kind: AttributeType, value: Value<'_>) -> Result<(), RowProblem> {
    match (kind, value) {
        (AttributeType::Keyword, Value::Text(text)) => short(name, text).map(drop),
        (AttributeType::Tags, Value::Array(tags)) => tags.check(name),
        _ => number_of(name, kind, value).map(drop),
    }
}

/// A value that is neither a keyword nor tags.
fn number_of(name: &str, kind: AttributeType, value: Value<'_>) -> Result<Cell, RowProblem> {
    let cell = match (kind, value) {
        (_, Value::Null) => Cell::Null,
        (AttributeType::Bool, Value::Bool(value)) => Cell::Bool(value),
        (AttributeType::I64, Value::Whole(whole)) => Cell::I64(narrow(name, kind, whole)?),
        // Microseconds.
        (AttributeType::Timestamp, Value::Whole(whole)) => Cell::Timestamp(narrow(name, kind, whole)?),
        // CAST: the nearest, as for every number that JSON writes
        (AttributeType::F64, Value::Whole(whole)) => Cell::F64(whole as f64),
        (AttributeType::F64, Value::Number(number)) => Cell::F64(finite(name, number)?),
        (AttributeType::Timestamp, Value::Text(text)) => Cell::Timestamp(
            parse_timestamp(text)
                .map_err(|source| RowProblem::Timestamp { name: name.to_owned(), source })?,
        ),
        (kind, other) => {
            let found = other.kind().to_owned();
            return Err(RowProblem::Kind { name: name.to_owned(), kind, found });
        }
    };
    Ok(cell)
}

fn narrow(name: &str, kind: AttributeType, whole: i128) -> Result<i64, RowProblem> {
    let wide = |_| RowProblem::Kind { name: name.to_owned(), kind, found: whole.to_string() };
    i64::try_from(whole).map_err(wide)
}

/// A number that is neither NaN nor infinite; -0 as 0.
pub(super) fn finite(name: &str, value: f64) -> Result<f64, RowProblem> {
    if value.is_finite() {
        Ok(value + 0.0)
    } else {
        Err(RowProblem::NotFinite { name: name.to_owned(), value })
    }
}

/// A text that is not too long.
pub(super) fn short<'a>(name: &str, text: &'a str) -> Result<&'a str, RowProblem> {
    match text.len() {
        ..=VALUE_BYTES_MAX => Ok(text),
        bytes => Err(RowProblem::ValueBytes { name: name.to_owned(), bytes }),
    }
}
