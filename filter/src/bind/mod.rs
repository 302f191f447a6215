//! From names to numbers of attributes, from values as written to values as indexed.
mod error;
mod number;
mod simplify;

use crate::attribute::{AttributeType, ID, Schema};
use crate::bound::{Bound, KeyRange, Predicate};
use crate::cell::bool_text;
use crate::expression::{Comparison, Filter, TagMode, Value};
use crate::limits::{NESTING_MAX, TERMS_MAX, VALUES_MAX};
use crate::timestamp::parse_timestamp;
pub use error::BindError;
use number::Place;

impl Filter {
    /// Finds the attributes in a schema, reads values in their types, and brings the expression into one form.
    ///
    /// Numbers of different types are compared exactly. `2.5` may be compared with an `i64`, and a whole number that no `f64`
    /// equals with an `f64`. A timestamp is written in RFC 3339 or as whole microseconds.
    ///
    /// # Errors
    /// Attributes that are not in the schema, values of another type, predicates that the type does not have, trees that are
    /// too large or too deep.
    pub fn bind(&self, schema: &Schema) -> Result<Bound, BindError> {
        Binder { schema, terms: 0, values: 0 }.bind(self, 0)
    }
}

impl Schema {
    /// The numbers of attributes that are wanted by name, in that order; of all where none is named.
    ///
    /// # Errors
    /// Attributes that are not in the schema, or named twice.
    pub fn choose(&self, names: &[impl AsRef<str>]) -> Result<Vec<usize>, BindError> {
        if names.is_empty() {
            return Ok((0..self.attributes().len()).collect());
        }
        let mut numbers = Vec::new();
        for name in names.iter().map(AsRef::as_ref) {
            let number = self.find(name).ok_or_else(|| BindError::unknown(name, self))?;
            if numbers.contains(&number) {
                return Err(BindError::Twice(name.to_owned()));
            }
            numbers.push(number);
        }
        Ok(numbers)
    }
}

struct Binder<'a> {
    schema: &'a Schema,
    /// Comparisons so far.
    terms: usize,
    /// Values in lists so far.
    values: usize,
}

/// An attribute that a comparison names.
#[derive(Clone, Copy)]
struct Named<'a> {
    name: &'a str,
    number: usize,
    kind: AttributeType,
}

impl Binder<'_> {
    fn bind(&mut self, filter: &Filter, depth: usize) -> Result<Bound, BindError> {
        if depth > NESTING_MAX {
            return Err(BindError::Nesting);
        }
        match filter {
            Filter::And(parts) => Ok(simplify::and(self.parts(parts, depth, "AND")?)),
            Filter::Or(parts) => Ok(simplify::or(self.parts(parts, depth, "OR")?)),
            Filter::Not(inner) => Ok(simplify::not(self.bind(inner, depth + 1)?)),
            leaf => {
                self.terms += 1;
                if self.terms > TERMS_MAX {
                    return Err(BindError::Terms);
                }
                self.leaf(leaf)
            }
        }
    }

    fn parts(&mut self, parts: &[Filter], depth: usize, what: &'static str) -> Result<Vec<Bound>, BindError> {
        if parts.is_empty() {
            return Err(BindError::Empty(what));
        }
        parts.iter().map(|part| self.bind(part, depth + 1)).collect()
    }

    fn leaf(&mut self, leaf: &Filter) -> Result<Bound, BindError> {
        match leaf {
            Filter::Compare { name, comparison, value } => self.compare(self.find(name)?, *comparison, value),
            Filter::In { name, values, negated } => {
                self.count(values.len())?;
                self.is_in(self.find(name)?, values, *negated)
            }
            Filter::Between { name, low, high } => {
                let named = self.find(name)?;
                let (low, high) = (named.place(low, "between")?, named.place(high, "between")?);
                Ok(named.ranges(number::between(low, high)))
            }
            Filter::IsNull { name } => Ok(self.find(name)?.predicate(Predicate::Null)),
            Filter::Contains { name, tags, mode } => {
                self.count(tags.len())?;
                self.find(name)?.contains(tags, *mode)
            }
            Filter::Ids(ids) => {
                self.count(ids.len())?;
                Ok(simplify::ids(ids.clone()))
            }
            Filter::And(_) | Filter::Or(_) | Filter::Not(_) => unreachable!("no leaf"),
        }
    }

    fn count(&mut self, values: usize) -> Result<(), BindError> {
        self.values = self.values.saturating_add(values);
        if self.values > VALUES_MAX { Err(BindError::Values) } else { Ok(()) }
    }

    fn find<'n>(&self, name: &'n str) -> Result<Named<'n>, BindError> {
        if name == ID {
            return Err(BindError::Id);
        }
        let number = self.schema.find(name);
        let attribute = number.and_then(|number| self.schema.attributes().get(number));
        match (number, attribute) {
            (Some(number), Some(attribute)) => Ok(Named { name, number, kind: attribute.kind }),
            _ => Err(BindError::unknown(name, self.schema)),
        }
    }

    fn compare(&self, named: Named<'_>, comparison: Comparison, value: &Value) -> Result<Bound, BindError> {
        let values = std::slice::from_ref(value);
        let sign = comparison.sign();
        match (named.kind, comparison) {
            (AttributeType::Keyword | AttributeType::Bool, Comparison::Equal | Comparison::NotEqual) => {
                named.is_text(values, sign, comparison == Comparison::NotEqual)
            }
            (AttributeType::Keyword | AttributeType::Bool, _) => {
                Err(named.refuse(sign, "is for numbers and timestamps; use = or in"))
            }
            (AttributeType::Tags, _) => Err(named.refuse(sign, "is for single values; use contains")),
            (AttributeType::I64 | AttributeType::F64 | AttributeType::Timestamp, _) => {
                let place = named.place(value, sign)?;
                Ok(named.ranges(number::compared(named.kind, comparison, place)))
            }
        }
    }

    fn is_in(&self, named: Named<'_>, values: &[Value], negated: bool) -> Result<Bound, BindError> {
        let sign = if negated { "not in" } else { "in" };
        match named.kind {
            AttributeType::Keyword | AttributeType::Bool => named.is_text(values, sign, negated),
            AttributeType::Tags => Err(named.refuse(sign, "is for single values; use contains any")),
            AttributeType::I64 | AttributeType::F64 | AttributeType::Timestamp => {
                let mut ranges = Vec::with_capacity(values.len());
                for value in values {
                    let place = named.place(value, sign)?;
                    ranges.extend(number::compared(named.kind, Comparison::Equal, place));
                }
                let ranges = number::merged(ranges);
                let all = number::all_keys(named.kind);
                Ok(named.ranges(if negated { number::complement(all, &ranges) } else { ranges }))
            }
        }
    }
}

impl Named<'_> {
    fn predicate(self, predicate: Predicate) -> Bound {
        simplify::attribute(self.number, predicate)
    }

    fn exists(self) -> Bound {
        simplify::not(self.predicate(Predicate::Null))
    }

    fn ranges(self, ranges: Vec<KeyRange>) -> Bound {
        match ranges.as_slice() {
            [range] if *range == number::all_keys(self.kind) => self.exists(),
            _ => self.predicate(Predicate::Ranges(ranges)),
        }
    }

    /// Whether a keyword or bool is one of these values.
    fn is_text(self, values: &[Value], sign: &'static str, negated: bool) -> Result<Bound, BindError> {
        let text = |value: &Value| match (self.kind, value) {
            (AttributeType::Keyword, Value::Text(text)) => Ok(text.clone()),
            (AttributeType::Bool, Value::Bool(value)) => Ok(bool_text(*value).to_owned()),
            (_, value) => Err(self.mismatch(value, sign)),
        };
        let values = self.predicate(Predicate::Values(values.iter().map(text).collect::<Result<_, _>>()?));
        Ok(if negated { simplify::and(vec![self.exists(), simplify::not(values)]) } else { values })
    }

    fn contains(self, tags: &[String], mode: TagMode) -> Result<Bound, BindError> {
        if self.kind != AttributeType::Tags {
            return Err(self.refuse("contains", "is for tags; use = or in"));
        }
        Ok(match mode {
            TagMode::Any => self.predicate(Predicate::AnyTag(tags.to_vec())),
            TagMode::All if tags.is_empty() => self.exists(),
            TagMode::All => self.predicate(Predicate::AllTags(tags.to_vec())),
        })
    }

    /// Where a number or timestamp lies among the values of the attribute.
    fn place(self, value: &Value, sign: &'static str) -> Result<Place, BindError> {
        if !self.kind.is_number() {
            return Err(self.refuse(sign, "is for numbers and timestamps"));
        }
        match value {
            Value::I64(value) => Ok(Place::of_i64(self.kind, *value)),
            Value::F64(value) if value.is_finite() => Ok(Place::of_f64(self.kind, *value)),
            Value::F64(value) => Err(BindError::NotFinite { name: self.name.to_owned(), value: *value }),
            Value::Text(text) if self.kind == AttributeType::Timestamp => match parse_timestamp(text) {
                Ok(micros) => Ok(Place::of_i64(self.kind, micros)),
                Err(source) => Err(BindError::Timestamp { name: self.name.to_owned(), source }),
            },
            Value::Text(_) | Value::Bool(_) => Err(self.mismatch(value, sign)),
        }
    }

    fn refuse(self, operator: &'static str, advice: &'static str) -> BindError {
        BindError::Operator { name: self.name.to_owned(), kind: self.kind, operator, advice }
    }

    fn mismatch(self, value: &Value, sign: &'static str) -> BindError {
        let shown = match value {
            Value::Text(text) => format!("{:?}", text.chars().take(60).collect::<String>()),
            Value::Bool(value) => value.to_string(),
            Value::I64(value) => value.to_string(),
            Value::F64(value) => value.to_string(),
        };
        let given = format!("{}, {shown}, by `{sign}`", value.kind());
        BindError::Value { name: self.name.to_owned(), kind: self.kind, given }
    }
}

#[cfg(test)]
mod tests;
