//! Attributes in JSON lines: `{"id": 0, "price": 12.5, "tags": ["a"]}`.
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use fs_err::File;
use spandrel_filter::{Cell, ID, Json, Schema};
use spandrel_index::{AttributeSource, AttributeSourceError};

use super::cell::cell_of;
use super::error::{AttributeFileError, LINE_BYTES_MAX, Place, RowProblem};
use super::infer::Inference;
use super::row_ids::{BaseRows, RowIds};
use crate::watch::Watch;

/// Bytes read at once.
const BUFFER_BYTES: usize = 1 << 20;
/// Lines between two looks at the stop flag.
const LINES_A_STEP: u64 = 1 << 10;

/// A file of JSON lines: an object for each vector that has attributes, in the order of the vectors, with the vector's id.
///
/// A key that is missing or null is a null; so is an empty array of tags. Blank lines are passed over.
#[derive(Debug)]
pub struct JsonLines<'a> {
    path: PathBuf,
    base: BaseRows<'a>,
    schema: Schema,
}

impl<'a> JsonLines<'a> {
    /// Reads the whole file once: checks every line, and learns the schema if none is given. Keys that a given schema does not
    /// name are left out; each that it names must occur.
    ///
    /// Without a schema, whole numbers are `i64`, with others among them `f64`, texts `keyword`, or `timestamp` where all are
    /// in RFC 3339, arrays `tags`. Progress counts rows.
    ///
    /// # Errors
    /// A file that cannot be read, a line that is no object of values, that names no vector or one before that of the last
    /// line, values of different types in one attribute, or larger than an attribute holds; the stop flag.
    pub fn open(
        path: impl Into<PathBuf>,
        base: BaseRows<'a>,
        schema: Option<Schema>,
        watch: Watch<'_>,
    ) -> Result<JsonLines<'a>, AttributeFileError> {
        let path = path.into();
        let whole = |problem| AttributeFileError::Place { path: path.clone(), place: Place::End, problem };
        let schema = match schema {
            Some(schema) => {
                let mut occurs = vec![false; schema.attributes().len()];
                let names = names_of(&schema);
                for_each_object(&path, base, watch, &mut |object| {
                    for (key, json) in &object.entries {
                        let Some(&number) = names.get(key.as_str()) else { continue };
                        if let (Some(occurs), Some(attribute)) =
                            (occurs.get_mut(number), schema.attributes().get(number))
                        {
                            *occurs = true;
                            cell_of(key, attribute.kind, json)?;
                        }
                    }
                    Ok(ControlFlow::Continue(()))
                })?;
                let absent = schema.attributes().iter().zip(occurs).find(|(_, occurs)| !occurs);
                if let Some((attribute, _)) = absent {
                    return Err(whole(RowProblem::Absent(attribute.name.clone())));
                }
                schema
            }
            None => {
                let mut inference = Inference::default();
                for_each_object(&path, base, watch, &mut |object| {
                    for (key, json) in object.entries.iter().filter(|(key, _)| key != ID) {
                        inference.learn(object.line, key, json)?;
                    }
                    Ok(ControlFlow::Continue(()))
                })?;
                inference.finish().map_err(whole)?
            }
        };
        Ok(JsonLines { path, base, schema })
    }
}

impl AttributeSource for JsonLines<'_> {
    fn schema(&self) -> &Schema {
        &self.schema
    }

    fn len(&self) -> u64 {
        self.base.rows
    }

    fn scan(
        &self,
        each: &mut dyn FnMut(u64, &[Cell]) -> ControlFlow<()>,
    ) -> Result<(), AttributeSourceError> {
        let names = names_of(&self.schema);
        let mut cells = vec![Cell::Null; self.schema.attributes().len()];
        let mut on_object = |object: &Object| {
            cells.fill(Cell::Null);
            for (key, json) in &object.entries {
                let Some(&number) = names.get(key.as_str()) else { continue };
                if let (Some(cell), Some(attribute)) =
                    (cells.get_mut(number), self.schema.attributes().get(number))
                {
                    *cell = cell_of(key, attribute.kind, json)?;
                }
            }
            Ok(each(object.row, &cells))
        };
        Ok(for_each_object(&self.path, self.base, Watch::none(), &mut on_object)?)
    }

    fn name(&self) -> String {
        self.path.display().to_string()
    }
}

fn names_of(schema: &Schema) -> HashMap<&str, usize> {
    let names = schema.attributes().iter().map(|attribute| attribute.name.as_str());
    names.zip(0..).collect()
}

/// A line.
struct Object {
    /// From 1 on.
    line: u64,
    /// The vector's row.
    row: u64,
    /// All keys and values, the id among them.
    entries: Vec<(String, Json)>,
}

type EachObject<'a> = &'a mut dyn FnMut(&Object) -> Result<ControlFlow<()>, RowProblem>;

fn for_each_object(
    path: &Path,
    base: BaseRows<'_>,
    watch: Watch<'_>,
    each: EachObject<'_>,
) -> Result<(), AttributeFileError> {
    let mut rows = RowIds::new(base);
    let mut lines = 0_u64;
    for_each_line(path, &mut |line, json| {
        let place =
            |problem| AttributeFileError::Place { path: path.to_owned(), place: Place::Line(line), problem };
        let Json::Object(entries) = json else { return Err(place(RowProblem::NotObject(json.kind()))) };
        let id = id_of(&entries).map_err(place)?;
        let row = rows.row(id)?.map_err(place)?;
        if lines.is_multiple_of(LINES_A_STEP) {
            watch.step(row, base.rows)?;
        }
        lines += 1;
        each(&Object { line, row, entries }).map_err(place)
    })?;
    (watch.progress)(base.rows, base.rows);
    Ok(())
}

fn id_of(entries: &[(String, Json)]) -> Result<u64, RowProblem> {
    let (_, json) = entries.iter().find(|(key, _)| key == ID).ok_or(RowProblem::NoId)?;
    let bad = || {
        RowProblem::BadId(match json {
            Json::Whole(whole) => whole.to_string(),
            other => other.kind().to_owned(),
        })
    };
    let Json::Whole(whole) = json else { return Err(bad()) };
    u64::try_from(*whole).ok().filter(|&id| id != u64::MAX).ok_or_else(bad)
}

type EachLine<'a> = &'a mut dyn FnMut(u64, Json) -> Result<ControlFlow<()>, AttributeFileError>;

/// Calls `each` with the number of each line that is not blank, and the JSON in it.
pub(super) fn for_each_line(path: &Path, each: EachLine<'_>) -> Result<(), AttributeFileError> {
    let mut reader = BufReader::with_capacity(BUFFER_BYTES, File::open(path)?);
    let mut bytes = Vec::new();
    let mut line = 0;
    loop {
        line += 1;
        bytes.clear();
        // CAST: widening
        let read = reader.by_ref().take(LINE_BYTES_MAX as u64 + 1).read_until(b'\n', &mut bytes)?;
        if read == 0 {
            return Ok(());
        }
        let place =
            |problem| AttributeFileError::Place { path: path.to_owned(), place: Place::Line(line), problem };
        if read > LINE_BYTES_MAX {
            return Err(place(RowProblem::LongLine));
        }
        let text =
            std::str::from_utf8(&bytes).map_err(|error| place(RowProblem::NotUtf8(error.valid_up_to())))?;
        if text.trim_ascii().is_empty() {
            continue;
        }
        let json = Json::parse(text.trim_ascii_end()).map_err(|error| place(RowProblem::Json(error)))?;
        if each(line, json)?.is_break() {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests;
