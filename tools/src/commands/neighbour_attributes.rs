//! Attributes of the vectors found, beside their ids.
use std::sync::Arc;

use clap::Args;
use serde_json::{Map, Value};
use spandrel_engine::{Answer, Engine, FetchContent, Lookup, SearchError};
use spandrel_filter::{Cell, Schema, format_timestamp};
use spandrel_index::Index;

use super::filter::advised;
use crate::Advised;

/// Which attributes answers carry.
#[derive(Debug, Clone, Default, Args)]
pub struct NeighbourAttributeArgs {
    /// Give what each neighbour has in these attributes, or in all that the index has.
    #[arg(long, value_name = "NAME,NAME", value_delimiter = ',', num_args = 0..=1, conflicts_with_all = ["out", "radius"])]
    pub with_attributes: Option<Vec<String>>,
}

impl NeighbourAttributeArgs {
    /// The numbers of the attributes asked for, if any are.
    pub(super) fn choose(&self, schema: &Schema) -> anyhow::Result<Option<Vec<usize>>> {
        let Some(names) = &self.with_attributes else { return Ok(None) };
        if schema.attributes().is_empty() {
            return Err(Advised::new("the index has no attributes", "build it with --attributes").into());
        }
        Ok(Some(schema.choose(names).map_err(|error| advised(error.into(), schema))?))
    }
}

/// Memory that the values of one call may take.
const VALUE_BYTES: usize = 1 << 30;

/// Fetches attributes of the neighbours in answers.
pub(super) struct AttributeReader {
    lookup: Arc<Lookup>,
    numbers: Vec<usize>,
}

impl AttributeReader {
    /// Of attributes by number.
    pub(super) fn open(index: &Arc<Index>, numbers: Vec<usize>) -> anyhow::Result<AttributeReader> {
        Ok(AttributeReader { lookup: Arc::new(Lookup::open(Arc::clone(index))?), numbers })
    }

    /// Gives answers the attributes of their neighbours.
    pub(super) fn hand_out(&self, engine: &Engine, answers: &mut [Answer]) -> Result<(), SearchError> {
        let ids: Vec<u64> =
            answers.iter().flat_map(|a| &a.neighbours).map(|neighbour| neighbour.id).collect();
        let attributes = self.numbers.clone();
        let content = FetchContent { vectors: None, attributes, cell_bytes_max: VALUE_BYTES };
        let mut given = engine.fetch_content(&self.lookup, &ids, content)?.hand_out(self.numbers.len());
        answers.iter_mut().for_each(|answer| given.give(answer));
        Ok(())
    }
}

/// What a vector has in attributes of these names, as an object.
pub(super) fn object(names: &[String], cells: &[Cell]) -> Map<String, Value> {
    names.iter().cloned().zip(cells.iter().map(value)).collect()
}

/// A value as files of attributes write it.
fn value(cell: &Cell) -> Value {
    match cell {
        Cell::Null => Value::Null,
        Cell::Keyword(text) => text.as_str().into(),
        Cell::Tags(tags) => tags.iter().collect(),
        Cell::Bool(value) => (*value).into(),
        Cell::I64(number) => (*number).into(),
        Cell::F64(number) => (*number).into(),
        Cell::Timestamp(micros) => format_timestamp(*micros).map_or_else(|| (*micros).into(), Value::from),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_written_as_in_files() {
        let names = ["a", "b", "c", "d", "e", "f", "g"].map(str::to_owned);
        let cells = [
            Cell::Null,
            Cell::Keyword("x".to_owned()),
            Cell::Tags(["p", "q"].into_iter().collect()),
            Cell::Bool(true),
            Cell::I64(i64::MIN),
            Cell::F64(2.5),
            Cell::Timestamp(1_714_564_800_000_000),
        ];
        let written = Value::Object(object(&names, &cells)).to_string();
        assert_eq!(
            written,
            r#"{"a":null,"b":"x","c":["p","q"],"d":true,"e":-9223372036854775808,"f":2.5,"g":"2024-05-01T12:00:00Z"}"#
        );
        assert_eq!(value(&Cell::Timestamp(i64::MAX)), i64::MAX);
    }
}
