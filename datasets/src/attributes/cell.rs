//! Values of JSON as cells.
use spandrel_filter::{AttributeType, Cell, Json, TAGS_MAX, Tags, VALUE_BYTES_MAX, parse_timestamp};

use super::error::RowProblem;

/// A value of JSON in an attribute of a type.
pub(super) fn cell_of(name: &str, kind: AttributeType, json: &Json) -> Result<Cell, RowProblem> {
    let cell = match (kind, json) {
        (_, Json::Null) => Cell::Null,
        (AttributeType::Bool, Json::Bool(value)) => Cell::Bool(*value),
        (AttributeType::I64, Json::Whole(whole)) => Cell::I64(narrow(name, kind, *whole)?),
        // Microseconds.
        (AttributeType::Timestamp, Json::Whole(whole)) => Cell::Timestamp(narrow(name, kind, *whole)?),
        // CAST: the nearest, as for every number that JSON writes
        (AttributeType::F64, Json::Whole(whole)) => Cell::F64(*whole as f64),
        (AttributeType::F64, Json::Number(number)) => Cell::F64(finite(name, *number)?),
        (AttributeType::Keyword, Json::Text(text)) => Cell::Keyword(short(name, text)?.to_owned()),
        (AttributeType::Timestamp, Json::Text(text)) => Cell::Timestamp(
            parse_timestamp(text)
                .map_err(|source| RowProblem::Timestamp { name: name.to_owned(), source })?,
        ),
        (AttributeType::Tags, Json::Array(tags)) => tags_of(name, tags)?,
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

/// Tags, each once. Null where there is none.
fn tags_of(name: &str, json: &[Json]) -> Result<Cell, RowProblem> {
    if json.len() > TAGS_MAX {
        return Err(RowProblem::Tags { name: name.to_owned(), tags: json.len() });
    }
    let mut texts = Vec::with_capacity(json.len());
    for tag in json {
        texts.push(match tag {
            Json::Text(text) => short(name, text)?.to_owned(),
            Json::Whole(number) => number.to_string(),
            other => return Err(RowProblem::Tag { name: name.to_owned(), found: other.kind() }),
        });
    }
    texts.sort_unstable();
    texts.dedup();
    Ok(if texts.is_empty() { Cell::Null } else { Cell::Tags(texts.into_iter().collect::<Tags>()) })
}
