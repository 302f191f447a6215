//! The expression, over names.

/// Which rows match, over the names of attributes.
///
/// Trees deeper than [`NESTING_MAX`](crate::NESTING_MAX), with more than [`TERMS_MAX`](crate::TERMS_MAX) comparisons, or with
/// an AND or OR of nothing do not bind.
#[derive(Debug, Clone, PartialEq)]
pub enum Filter {
    /// Rows that match all of these, at least one.
    And(Vec<Filter>),
    /// Rows that match any of these, at least one.
    Or(Vec<Filter>),
    /// Rows that do not match this, rows with nulls included.
    Not(Box<Filter>),
    /// Rows whose value is in a relation to another. Never null.
    Compare {
        /// Name of the attribute.
        name: String,
        /// How the row's value stands to the one given.
        comparison: Comparison,
        /// Value that the row's is compared with.
        value: Value,
    },
    /// Rows whose value is (or is not) one of several. Never null.
    In {
        /// Name of the attribute.
        name: String,
        /// The values. The list may be empty.
        values: Vec<Value>,
        /// Whether to take the rows with other values instead.
        negated: bool,
    },
    /// Rows whose value is from `low` to `high`, both included. Never null.
    Between {
        /// Name of the attribute.
        name: String,
        /// Least value, included.
        low: Value,
        /// Greatest value, included.
        high: Value,
    },
    /// Rows where the attribute is null.
    IsNull {
        /// Name of the attribute.
        name: String,
    },
    /// Rows with any or all of these tags.
    Contains {
        /// Name of the attribute, of tags.
        name: String,
        /// The tags. The list may be empty: then `Any` matches no row and `All` matches every row that has a tag.
        tags: Vec<String>,
        /// How many of them.
        mode: TagMode,
    },
    /// Rows with one of these ids.
    Ids(Vec<u64>),
}

/// The only part, or all parts in one.
pub(crate) fn single_or<T>(mut parts: Vec<T>, all: fn(Vec<T>) -> T) -> T {
    match parts.pop() {
        Some(part) if parts.is_empty() => part,
        last => {
            parts.extend(last);
            all(parts)
        }
    }
}

/// A relation of two values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Comparison {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    AtMost,
    /// `>`
    Greater,
    /// `>=`
    AtLeast,
}

impl Comparison {
    /// Every relation.
    pub const ALL: [Comparison; 6] = [
        Comparison::Equal,
        Comparison::NotEqual,
        Comparison::Less,
        Comparison::AtMost,
        Comparison::Greater,
        Comparison::AtLeast,
    ];

    /// Its sign in text.
    pub fn sign(self) -> &'static str {
        match self {
            Comparison::Equal => "=",
            Comparison::NotEqual => "!=",
            Comparison::Less => "<",
            Comparison::AtMost => "<=",
            Comparison::Greater => ">",
            Comparison::AtLeast => ">=",
        }
    }
}

/// How many of the tags a row needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TagMode {
    /// At least one.
    Any,
    /// Each.
    All,
}

/// A value as it is written in a filter. The attribute's type says what it means.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A keyword, or a timestamp in RFC 3339.
    Text(String),
    /// True or false.
    Bool(bool),
    /// A whole number; microseconds for a timestamp.
    I64(i64),
    /// Another number.
    F64(f64),
}

impl Value {
    /// What it is, in words.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Value::Text(_) => "text",
            Value::Bool(_) => "a bool",
            Value::I64(_) => "a whole number",
            Value::F64(_) => "a number",
        }
    }
}
