//! Attributes as messages.
use spandrel_filter::{Attribute, AttributeType, Cell, Tags};
use spandrel_proto::v1;
use spandrel_proto::v1::attribute_value::Kind;

use crate::refusal::Refusal;
use crate::turns::Turns;

/// What vectors have in some attributes, attribute by attribute.
pub(super) struct Columns(Vec<v1::AttributeValues>);

impl Columns {
    /// Of no vector yet, with room for `cells` values of all attributes together.
    pub(super) fn of(attributes: &[Attribute], cells: usize) -> Columns {
        let vectors = cells / attributes.len().max(1);
        let empty = |Attribute { name, kind }: &Attribute| v1::AttributeValues {
            name: name.clone(),
            r#type: wire_type(*kind) as i32, // CAST: the enum's code
            values: Vec::with_capacity(vectors),
        };
        Columns(attributes.iter().map(empty).collect())
    }

    /// Adds some vectors, whose values come vector by vector. Takes turns with other calls.
    pub(super) async fn add(&mut self, cells: Vec<Cell>, turns: &mut Turns) -> Result<(), Refusal> {
        for (at, cell) in cells.into_iter().enumerate() {
            turns.take(1).await?;
            let number = at % self.0.len();
            self.0[number].values.push(v1::AttributeValue { kind: kind(cell) });
        }
        Ok(())
    }

    pub(super) fn into_messages(self) -> Vec<v1::AttributeValues> {
        self.0
    }
}

fn kind(cell: Cell) -> Option<Kind> {
    match cell {
        Cell::Null => None,
        Cell::Keyword(text) => Some(Kind::Keyword(text)),
        Cell::Tags(tags) => Some(Kind::Tags(wire_tags(&tags))),
        Cell::Bool(value) => Some(Kind::Boolean(value)),
        Cell::I64(value) => Some(Kind::Integer(value)),
        Cell::F64(value) => Some(Kind::Number(value)),
        Cell::Timestamp(micros) => Some(Kind::Timestamp(micros)),
    }
}

fn wire_tags(tags: &Tags) -> v1::Tags {
    v1::Tags { tags: tags.iter().map(str::to_owned).collect() }
}

pub(super) fn wire_type(kind: AttributeType) -> v1::AttributeType {
    match kind {
        AttributeType::Keyword => v1::AttributeType::Keyword,
        AttributeType::Tags => v1::AttributeType::Tags,
        AttributeType::Bool => v1::AttributeType::Bool,
        AttributeType::I64 => v1::AttributeType::I64,
        AttributeType::F64 => v1::AttributeType::F64,
        AttributeType::Timestamp => v1::AttributeType::Timestamp,
    }
}
