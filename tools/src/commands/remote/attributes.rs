//! Attributes as a server sends them.
use std::ops::Range;

use spandrel_filter::{AttributeType, Cell};
use spandrel_proto::v1;
use spandrel_proto::v1::attribute_value::Kind;

/// What some of the vectors in a message have in its attributes, vector by vector.
pub(in crate::commands) fn cells(attributes: &[v1::AttributeValues], vectors: Range<usize>) -> Vec<Cell> {
    let of_vector = |at: usize| attributes.iter().map(move |attribute| attribute.values.get(at));
    vectors.flat_map(of_vector).map(|value| value.map_or(Cell::Null, cell)).collect()
}

fn cell(value: &v1::AttributeValue) -> Cell {
    match &value.kind {
        None => Cell::Null,
        Some(Kind::Keyword(text)) => Cell::Keyword(text.clone()),
        Some(Kind::Tags(v1::Tags { tags })) => Cell::Tags(tags.iter().collect()),
        Some(Kind::Boolean(value)) => Cell::Bool(*value),
        Some(Kind::Integer(number)) => Cell::I64(*number),
        Some(Kind::Number(number)) => Cell::F64(*number),
        Some(Kind::Timestamp(micros)) => Cell::Timestamp(*micros),
    }
}

/// The type of an attribute; none of one that only a newer server has.
pub(super) fn kind(kind: v1::AttributeType) -> Option<AttributeType> {
    match kind {
        v1::AttributeType::Unspecified => None,
        v1::AttributeType::Keyword => Some(AttributeType::Keyword),
        v1::AttributeType::Tags => Some(AttributeType::Tags),
        v1::AttributeType::Bool => Some(AttributeType::Bool),
        v1::AttributeType::I64 => Some(AttributeType::I64),
        v1::AttributeType::F64 => Some(AttributeType::F64),
        v1::AttributeType::Timestamp => Some(AttributeType::Timestamp),
    }
}
