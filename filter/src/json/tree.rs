//! JSON as it is written: keys in order, a key that comes twice refused, numbers exact.
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// A value of JSON.
#[derive(Debug, Clone, PartialEq)]
pub enum Json {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A whole number of 64 bits, with or without sign.
    Whole(i128),
    /// Another number, the nearest `f64`.
    Number(f64),
    /// A text.
    Text(String),
    /// Values in brackets.
    Array(Vec<Json>),
    /// Keys and values in the order of the text, no key twice.
    Object(Vec<(String, Json)>),
}

/// A text that is no JSON, or has a key twice.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no JSON at line {line}, column {column}: {problem}")]
pub struct JsonError {
    /// The line in the text, from 1 on.
    pub line: usize,
    /// The byte in the line, from 1 on.
    pub column: usize,
    /// What the parser could not take, in words.
    pub problem: String,
}

impl From<serde_json::Error> for JsonError {
    fn from(error: serde_json::Error) -> JsonError {
        let problem = error.to_string();
        let problem = problem.rsplit_once(" at line ").map_or(problem.as_str(), |(problem, _)| problem);
        JsonError { line: error.line(), column: error.column(), problem: problem.to_owned() }
    }
}

impl Json {
    /// Reads a text that is one value.
    ///
    /// # Errors
    /// Text that is no JSON, a key twice in an object, values nested deeper than 127 levels.
    pub fn parse(text: &str) -> Result<Json, JsonError> {
        Ok(serde_json::from_str(text)?)
    }

    /// What it is, in words.
    pub fn kind(&self) -> &'static str {
        match self {
            Json::Null => "null",
            Json::Bool(_) => "a bool",
            Json::Whole(_) => "a whole number",
            Json::Number(_) => "a number",
            Json::Text(_) => "text",
            Json::Array(_) => "an array",
            Json::Object(_) => "an object",
        }
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Json, D::Error> {
        deserializer.deserialize_any(Tree)
    }
}

struct Tree;

impl<'de> Visitor<'de> for Tree {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Ok(Json::Whole(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        Ok(Json::Whole(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Json, E> {
        Ok(Json::Number(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Json, E> {
        Ok(Json::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<Json, A::Error> {
        let mut array = Vec::new();
        while let Some(value) = values.next_element()? {
            array.push(value);
        }
        Ok(Json::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Json, A::Error> {
        let mut object: Vec<(String, Json)> = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            object.push(entry);
        }
        let mut keys: Vec<&str> = object.iter().map(|(key, _)| key.as_str()).collect();
        keys.sort_unstable();
        let twice = keys.iter().zip(keys.iter().skip(1)).find(|(key, next)| key == next);
        if let Some((key, _)) = twice {
            let shown: String = key.chars().take(80).collect();
            return Err(A::Error::custom(format!("the key {shown:?} comes twice")));
        }
        Ok(Json::Object(object))
    }
}
