//! The keys and values of a line of JSON, handed over one by one as they are read: nothing is kept of a line but its tags.
use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::error::RowProblem;
use super::plain::PlainReader;
use super::value::{ARRAY, EachField, TagList, Value};

/// Reads lines, with memory for the tags of one.
#[derive(Debug, Default)]
pub(super) struct FieldReader {
    tags: TagList,
    plain: PlainReader,
}

impl FieldReader {
    /// Calls `each` with every key and value of a line. One that is not plain is begun again: then `each` is called again with its first keys,
    /// and the same values.
    ///
    /// # Errors
    /// A line that is no JSON or no object, or has a key twice.
    pub(super) fn read(&mut self, text: &str, each: EachField<'_>) -> Result<(), RowProblem> {
        match self.plain.read(text, &mut self.tags, each) {
            Some(()) => Ok(()),
            None => read_by_library(text, &mut self.tags, each),
        }
    }
}

/// Calls `each` with every key and value of any line.
fn read_by_library(text: &str, tags: &mut TagList, each: EachField<'_>) -> Result<(), RowProblem> {
    let mut line = Line { tags, each, problem: None };
    let mut json = serde_json::Deserializer::from_str(text);
    let read = Each(Whole(&mut line)).deserialize(&mut json).and_then(|()| json.end());
    read.map_err(|error| RowProblem::Json(error.into()))?;
    line.problem.map_or(Ok(()), Err)
}

/// A line while it is read.
struct Line<'a> {
    tags: &'a mut TagList,
    each: EachField<'a>,
    /// Where it is no object.
    problem: Option<RowProblem>,
}

/// What is done with one value of JSON.
trait Take: Sized {
    /// What is neither an array nor an object.
    fn scalar(self, value: Value<'_>);
    fn array<'de, A: SeqAccess<'de>>(self, items: A) -> Result<(), A::Error>;
    fn object<'de, A: MapAccess<'de>>(self, entries: A) -> Result<(), A::Error>;
}

/// The whole line.
struct Whole<'l, 'a>(&'l mut Line<'a>);

impl Take for Whole<'_, '_> {
    fn scalar(self, value: Value<'_>) {
        self.0.problem = Some(RowProblem::NotObject(value.kind()));
    }

    fn array<'de, A: SeqAccess<'de>>(self, items: A) -> Result<(), A::Error> {
        pass_over(items)?;
        self.0.problem = Some(RowProblem::NotObject(ARRAY));
        Ok(())
    }

    fn object<'de, A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        let mut keys: Vec<Cow<'de, str>> = Vec::new();
        while let Some(key) = entries.next_key_seed(Key)? {
            entries.next_value_seed(Each(Field { line: self.0, key: &key }))?;
            keys.push(key);
        }
        keys.sort_unstable();
        let twice = keys.iter().zip(keys.iter().skip(1)).find(|(key, next)| key == next);
        if let Some((key, _)) = twice {
            let shown: String = key.chars().take(80).collect();
            return Err(A::Error::custom(format!("the key {shown:?} comes twice")));
        }
        Ok(())
    }
}

/// The value of a key.
struct Field<'l, 'a> {
    line: &'l mut Line<'a>,
    key: &'l str,
}

impl Take for Field<'_, '_> {
    fn scalar(self, value: Value<'_>) {
        (self.line.each)(self.key, value);
    }

    fn array<'de, A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let Line { tags, each, .. } = self.line;
        tags.clear();
        while items.next_element_seed(Each(Item(tags)))?.is_some() {}
        each(self.key, Value::Array(tags));
        Ok(())
    }

    fn object<'de, A: MapAccess<'de>>(self, entries: A) -> Result<(), A::Error> {
        pass_over_entries(entries)?;
        self.scalar(Value::Object);
        Ok(())
    }
}

/// An item of an array.
struct Item<'l>(&'l mut TagList);

impl Take for Item<'_> {
    fn scalar(self, value: Value<'_>) {
        self.0.push(value);
    }

    fn array<'de, A: SeqAccess<'de>>(self, items: A) -> Result<(), A::Error> {
        pass_over(items)?;
        self.0.push(Value::Array(&TagList::default()));
        Ok(())
    }

    fn object<'de, A: MapAccess<'de>>(self, entries: A) -> Result<(), A::Error> {
        pass_over_entries(entries)?;
        self.0.push(Value::Object);
        Ok(())
    }
}

fn pass_over<'de, A: SeqAccess<'de>>(mut items: A) -> Result<(), A::Error> {
    while items.next_element::<IgnoredAny>()?.is_some() {}
    Ok(())
}

fn pass_over_entries<'de, A: MapAccess<'de>>(mut entries: A) -> Result<(), A::Error> {
    while entries.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
    Ok(())
}

/// Reads one value for what takes it.
struct Each<T>(T);

impl<'de, T: Take> DeserializeSeed<'de> for Each<T> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, T: Take> Visitor<'de> for Each<T> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.0.scalar(Value::Null);
        Ok(())
    }

    fn visit_bool<E>(self, value: bool) -> Result<(), E> {
        self.0.scalar(Value::Bool(value));
        Ok(())
    }

    fn visit_i64<E>(self, value: i64) -> Result<(), E> {
        self.0.scalar(Value::Whole(value.into()));
        Ok(())
    }

    fn visit_u64<E>(self, value: u64) -> Result<(), E> {
        self.0.scalar(Value::Whole(value.into()));
        Ok(())
    }

    fn visit_f64<E>(self, value: f64) -> Result<(), E> {
        self.0.scalar(Value::Number(value));
        Ok(())
    }

    fn visit_str<E>(self, value: &str) -> Result<(), E> {
        self.0.scalar(Value::Text(value));
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<(), A::Error> {
        self.0.array(items)
    }

    fn visit_map<A: MapAccess<'de>>(self, entries: A) -> Result<(), A::Error> {
        self.0.object(entries)
    }
}

/// A key, of the line's own memory where that holds it as it is.
struct Key;

impl<'de> DeserializeSeed<'de> for Key {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Cow<'de, str>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Key {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_borrowed_str<E>(self, key: &'de str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Borrowed(key))
    }

    fn visit_str<E>(self, key: &str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Owned(key.to_owned()))
    }
}

#[cfg(test)]
mod tests;
