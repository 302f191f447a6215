//! A schema in a file: `{"price": "f64", "tags": "tags"}`.
use std::io::Read;
use std::path::Path;

use fs_err::File;
use spandrel_filter::{Attribute, Json, Schema};

use super::error::{AttributeFileError, LINE_BYTES_MAX, SchemaProblem};

/// Reads a schema: a JSON object with a type for each name, in the order of the attributes' numbers.
///
/// # Errors
/// A file that cannot be read or says something else.
pub fn read_schema(path: impl AsRef<Path>) -> Result<Schema, AttributeFileError> {
    let path = path.as_ref();
    let mut bytes = Vec::new();
    let read = File::open(path)?.take(LINE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?; // CAST: widening
    let schema = if read > LINE_BYTES_MAX {
        Err(SchemaProblem::Bytes(read as u64)) // CAST: widening
    } else {
        parse(&bytes)
    };
    schema.map_err(|problem| AttributeFileError::Schema { path: path.to_owned(), problem })
}

fn parse(bytes: &[u8]) -> Result<Schema, SchemaProblem> {
    let text = std::str::from_utf8(bytes).map_err(|error| SchemaProblem::NotUtf8(error.valid_up_to()))?;
    let json = Json::parse(text).map_err(SchemaProblem::Json)?;
    let Json::Object(entries) = json else { return Err(SchemaProblem::Form(json.kind())) };
    let attribute = |(name, kind)| match kind {
        Json::Text(kind) => Ok(Attribute { name, kind: kind.parse()? }),
        other => Err(SchemaProblem::Form(other.kind())),
    };
    let attributes = entries.into_iter().map(attribute).collect::<Result<Vec<Attribute>, SchemaProblem>>()?;
    if attributes.is_empty() {
        return Err(SchemaProblem::Form("an empty object"));
    }
    Ok(Schema::new(attributes)?)
}

#[cfg(test)]
mod tests {
    use spandrel_filter::AttributeType;

    use super::*;

    #[test]
    fn a_schema_keeps_its_order_and_bad_ones_are_refused() {
        let schema = parse(br#"{"z": "f64", "a": "tags"}"#).unwrap();
        let attributes = schema.attributes();
        assert_eq!(attributes[0], Attribute { name: "z".to_owned(), kind: AttributeType::F64 });
        assert_eq!(attributes[1], Attribute { name: "a".to_owned(), kind: AttributeType::Tags });
        let message = |bytes: &[u8]| parse(bytes).unwrap_err().to_string();
        let expected = "expected an object of names and types such as {\"price\": \"f64\"}, found ";
        assert_eq!(message(b"[]"), format!("{expected}an array"));
        assert_eq!(message(b"{}"), format!("{expected}an empty object"));
        assert_eq!(message(br#"{"a": 1}"#), format!("{expected}a whole number"));
        assert_eq!(
            message(br#"{"a": "int"}"#),
            "unknown attribute type 'int', expected keyword, tags, bool, i64, f64 or timestamp"
        );
        assert_eq!(
            message(br#"{"a": "i64", "a": "f64"}"#),
            "no JSON at line 1, column 24: the key \"a\" comes twice"
        );
        assert_eq!(
            message(br#"{"id": "i64"}"#),
            "an attribute is called `id`, which is the name of the row's id: rename it"
        );
        assert_eq!(message(b"{\"a\xff"), "byte 3 is no UTF-8");
    }
}
