//! Attributes: names and types.
use spandrel_names::named;

use crate::limits::{ATTRIBUTES_MAX, NAME_BYTES_MAX};

/// The name under which filters know the id of a row. No attribute may have it.
pub const ID: &str = "id";

/// What an attribute holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AttributeType {
    /// One text, compared byte by byte.
    Keyword,
    /// Several texts, none of them twice.
    Tags,
    /// `true` or `false`.
    Bool,
    /// A whole number.
    I64,
    /// A finite number; -0 is 0.
    F64,
    /// Microseconds since 1970-01-01T00:00:00Z; RFC 3339 in text.
    Timestamp,
}

named! {
    AttributeType, "attribute type",
    Keyword => "keyword", Tags => "tags", Bool => "bool", I64 => "i64", F64 => "f64", Timestamp => "timestamp"
}

impl AttributeType {
    /// Whether its values are ordered numbers ([`order`](crate::order)). The others are texts of a dictionary, `true` and
    /// `false` included.
    pub fn is_number(self) -> bool {
        matches!(self, AttributeType::I64 | AttributeType::F64 | AttributeType::Timestamp)
    }
}

/// One attribute of every row.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Attribute {
    /// What filters call it.
    pub name: String,
    /// Type of its values.
    pub kind: AttributeType,
}

/// The attributes of rows, in order. The place of an attribute is its number.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Schema {
    attributes: Vec<Attribute>,
}

/// Why attributes are no schema.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SchemaError {
    /// There are too many.
    #[error("{0} attributes, expected at most {ATTRIBUTES_MAX}")]
    TooMany(usize),
    /// A name is empty or too long.
    #[error("an attribute's name of {0} bytes, expected 1..={NAME_BYTES_MAX}")]
    NameBytes(usize),
    /// A name holds a control character.
    #[error("the attribute's name {0:?} holds a control character")]
    Control(String),
    /// Two attributes have one name.
    #[error("two attributes are called `{0}`")]
    Twice(String),
    /// An attribute has the name of the row's id.
    #[error("an attribute is called `{ID}`, which is the name of the row's id: rename it")]
    Id,
}

impl Schema {
    /// A schema of these attributes.
    ///
    /// # Errors
    /// Names that are empty, too long, `id`, or not different; too many attributes.
    pub fn new(attributes: Vec<Attribute>) -> Result<Schema, SchemaError> {
        if attributes.len() > ATTRIBUTES_MAX {
            return Err(SchemaError::TooMany(attributes.len()));
        }
        let mut names = std::collections::HashSet::new();
        for Attribute { name, .. } in &attributes {
            if name.is_empty() || name.len() > NAME_BYTES_MAX {
                return Err(SchemaError::NameBytes(name.len()));
            }
            if name.chars().any(char::is_control) {
                return Err(SchemaError::Control(name.clone()));
            }
            if name == ID {
                return Err(SchemaError::Id);
            }
            if !names.insert(name) {
                return Err(SchemaError::Twice(name.clone()));
            }
        }
        Ok(Schema { attributes })
    }

    /// The attributes, by number.
    pub fn attributes(&self) -> &[Attribute] {
        &self.attributes
    }

    /// The number of the attribute with this name.
    pub fn find(&self, name: &str) -> Option<usize> {
        self.attributes.iter().position(|attribute| attribute.name == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keyword(name: &str) -> Attribute {
        Attribute { name: name.to_owned(), kind: AttributeType::Keyword }
    }

    #[test]
    fn types_are_found_by_name() {
        for kind in AttributeType::ALL {
            assert_eq!(kind.name().parse(), Ok(kind));
        }
        let error = "int".parse::<AttributeType>().unwrap_err().to_string();
        assert_eq!(
            error,
            "unknown attribute type 'int', expected keyword, tags, bool, i64, f64 or timestamp"
        );
    }

    #[test]
    fn bad_names_are_refused() {
        let refused =
            |names: &[&str]| Schema::new(names.iter().map(|name| keyword(name)).collect()).unwrap_err();
        assert_eq!(refused(&["a", "b", "a"]), SchemaError::Twice("a".to_owned()));
        assert_eq!(refused(&["id"]), SchemaError::Id);
        assert_eq!(refused(&[""]), SchemaError::NameBytes(0));
        assert_eq!(refused(&[&"n".repeat(256)]), SchemaError::NameBytes(256));
        assert_eq!(refused(&["a\nb"]), SchemaError::Control("a\nb".to_owned()));
        let many: Vec<Attribute> = (0..1001).map(|n| keyword(&n.to_string())).collect();
        assert_eq!(Schema::new(many), Err(SchemaError::TooMany(1001)));
    }
}
