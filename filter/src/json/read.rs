//! From JSON to expression.
use std::fmt::Write;

use super::tree::{Json, JsonError};
use crate::attribute::ID;
use crate::expression::{Comparison, Filter, TagMode, Value, single_or};
use crate::limits::FILTER_BYTES_MAX;

/// JSON that is no filter.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{place}{problem}", place = shown(path))]
pub struct FromJsonError {
    /// Keys and numbers of items that lead to the place, the outermost first.
    pub path: Vec<String>,
    /// What is wrong there.
    pub problem: JsonProblem,
}

/// What is wrong with a filter in JSON.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum JsonProblem {
    /// It is no JSON.
    #[error(transparent)]
    Json(JsonError),
    /// It is too long.
    #[error("the filter has {0} bytes, expected at most {FILTER_BYTES_MAX}")]
    Bytes(usize),
    /// Something else was expected.
    #[error("expected {expected}, found {found}")]
    Expected {
        /// What could stand here.
        expected: &'static str,
        /// What stands in its place.
        found: &'static str,
    },
    /// An object or array says nothing.
    #[error("nothing is asked here; leave it out")]
    Empty,
    /// No operator has this name.
    #[error("no operator of {of}; there are {known}")]
    Operator {
        /// An attribute, the id or a filter.
        of: &'static str,
        /// The operators there are.
        known: &'static str,
    },
    /// An id is no whole number in range.
    #[error("an id is a whole number from 0 to 18446744073709551614")]
    Id,
    /// A null is compared.
    #[error("a null is not compared; rows without a value are found by {{\"$exists\": false}}")]
    Null,
    /// A number is too large.
    #[error("this number is too large")]
    Number,
}

fn shown(path: &[String]) -> String {
    let mut place = String::new();
    for step in path {
        let step: String = step.chars().take(40).collect();
        // A String takes all that is written.
        let _ = write!(place, "{}{step}", if place.is_empty() { "in " } else { "." });
    }
    if place.is_empty() { place } else { place + ": " }
}

impl FromJsonError {
    pub(super) fn top(problem: JsonProblem) -> FromJsonError {
        FromJsonError { path: Vec::new(), problem }
    }

    fn within(mut self, step: impl ToString) -> FromJsonError {
        self.path.insert(0, step.to_string());
        self
    }
}

fn expected<T>(expected: &'static str, found: &Json) -> Result<T, FromJsonError> {
    Err(FromJsonError::top(JsonProblem::Expected { expected, found: found.kind() }))
}

pub(super) fn filter(json: &Json) -> Result<Filter, FromJsonError> {
    let Json::Object(entries) = json else { return expected("an object", json) };
    let part = |(key, json): &(String, Json)| {
        let part = match key.as_str() {
            "$and" => filters(json).map(Filter::And),
            "$or" => filters(json).map(Filter::Or),
            "$not" => filter(json).map(|inner| Filter::Not(Box::new(inner))),
            key if key.starts_with('$') => {
                let known = "$and, $or and $not";
                Err(FromJsonError::top(JsonProblem::Operator { of: "a filter", known }))
            }
            name => of_attribute(name, json),
        };
        part.map_err(|error| error.within(key))
    };
    all_of(entries.iter().map(part).collect::<Result<_, _>>()?)
}

fn filters(json: &Json) -> Result<Vec<Filter>, FromJsonError> {
    let filters = items(json, filter)?;
    if filters.is_empty() { Err(FromJsonError::top(JsonProblem::Empty)) } else { Ok(filters) }
}

fn all_of(parts: Vec<Filter>) -> Result<Filter, FromJsonError> {
    if parts.is_empty() {
        return Err(FromJsonError::top(JsonProblem::Empty));
    }
    Ok(single_or(parts, Filter::And))
}

/// What is asked of one attribute: a value that it must have, or operators.
fn of_attribute(name: &str, json: &Json) -> Result<Filter, FromJsonError> {
    let operator = if name == ID { of_id } else { operator };
    let Json::Object(entries) = json else { return operator(name, "$eq", json) };
    let part = |(key, json): &(String, Json)| {
        let part = match key.as_str() {
            "$not" => match json {
                Json::Object(_) => of_attribute(name, json).map(|inner| Filter::Not(Box::new(inner))),
                json => expected("an object of operators", json),
            },
            key => operator(name, key, json),
        };
        part.map_err(|error| error.within(key))
    };
    all_of(entries.iter().map(part).collect::<Result<_, _>>()?)
}

fn operator(name: &str, key: &str, json: &Json) -> Result<Filter, FromJsonError> {
    let name = name.to_owned();
    let comparison = match key {
        "$eq" => Comparison::Equal,
        "$ne" => Comparison::NotEqual,
        "$lt" => Comparison::Less,
        "$lte" => Comparison::AtMost,
        "$gt" => Comparison::Greater,
        "$gte" => Comparison::AtLeast,
        "$in" | "$nin" => {
            return Ok(Filter::In { name, values: items(json, value)?, negated: key == "$nin" });
        }
        "$between" => return between(name, json),
        "$exists" => {
            let Json::Bool(exists) = json else { return expected("true or false", json) };
            let is_null = Filter::IsNull { name };
            return Ok(if *exists { Filter::Not(Box::new(is_null)) } else { is_null });
        }
        "$contains" => return Ok(Filter::Contains { name, tags: vec![tag(json)?], mode: TagMode::Any }),
        "$containsAny" => return Ok(Filter::Contains { name, tags: items(json, tag)?, mode: TagMode::Any }),
        "$containsAll" => return Ok(Filter::Contains { name, tags: items(json, tag)?, mode: TagMode::All }),
        _ => {
            let known = "$eq, $ne, $lt, $lte, $gt, $gte, $in, $nin, $between, $exists, $contains, $containsAny, \
                         $containsAll and $not";
            return Err(FromJsonError::top(JsonProblem::Operator { of: "an attribute", known }));
        }
    };
    Ok(Filter::Compare { name, comparison, value: value(json)? })
}

fn of_id(_name: &str, key: &str, json: &Json) -> Result<Filter, FromJsonError> {
    match key {
        "$eq" => Ok(Filter::Ids(vec![id(json)?])),
        "$ne" => Ok(Filter::Not(Box::new(Filter::Ids(vec![id(json)?])))),
        "$in" => Ok(Filter::Ids(items(json, id)?)),
        "$nin" => Ok(Filter::Not(Box::new(Filter::Ids(items(json, id)?)))),
        _ => {
            let known = "$eq, $ne, $in, $nin and $not";
            Err(FromJsonError::top(JsonProblem::Operator { of: "the id", known }))
        }
    }
}

fn between(name: String, json: &Json) -> Result<Filter, FromJsonError> {
    let mut ends = items(json, value)?.into_iter();
    match (ends.next(), ends.next(), ends.next()) {
        (Some(low), Some(high), None) => Ok(Filter::Between { name, low, high }),
        _ => expected("two values", json),
    }
}

fn items<T>(json: &Json, item: fn(&Json) -> Result<T, FromJsonError>) -> Result<Vec<T>, FromJsonError> {
    let Json::Array(items) = json else { return expected("an array", json) };
    items.iter().enumerate().map(|(at, json)| item(json).map_err(|error| error.within(at))).collect()
}

fn value(json: &Json) -> Result<Value, FromJsonError> {
    match json {
        Json::Bool(value) => Ok(Value::Bool(*value)),
        Json::Text(text) => Ok(Value::Text(text.clone())),
        Json::Whole(whole) => Ok(match i64::try_from(*whole) {
            Ok(whole) => Value::I64(whole),
            Err(_) => Value::F64(*whole as f64), // CAST: rounded to nearest, as a number in text is
        }),
        Json::Number(number) if number.is_finite() => Ok(Value::F64(*number)),
        Json::Number(_) => Err(FromJsonError::top(JsonProblem::Number)),
        Json::Null => Err(FromJsonError::top(JsonProblem::Null)),
        Json::Array(_) | Json::Object(_) => expected("a value", json),
    }
}

fn tag(json: &Json) -> Result<String, FromJsonError> {
    match json {
        Json::Text(text) => Ok(text.clone()),
        // Tags of files that number them are read as their digits.
        Json::Whole(number) => Ok(number.to_string()),
        json => expected("a tag", json),
    }
}

fn id(json: &Json) -> Result<u64, FromJsonError> {
    match json {
        Json::Whole(id) => u64::try_from(*id).ok().filter(|&id| id != u64::MAX),
        _ => None,
    }
    .ok_or_else(|| FromJsonError::top(JsonProblem::Id))
}
