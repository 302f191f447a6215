//! Attributes in JSON lines: `{"id": 0, "price": 12.5, "tags": ["a"]}`.
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use fs_err::File;
use spandrel_filter::{AttributeType, Cell, ID, Schema};
use spandrel_index::{AttributeSource, AttributeSourceError};

use super::cell::{cell_of, check};
use super::error::{AttributeFileError, LINE_BYTES_MAX, Place, RowProblem};
use super::fields::FieldReader;
use super::infer::Inference;
use super::row_ids::{BaseRows, RowIds};
use super::value::Value;
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
                let occurs = vec![false; schema.attributes().len()];
                let mut checking = Checking { known: Known::of(&schema), occurs };
                for_each_row(&path, base, watch, &mut checking)?;
                let mut occurs = schema.attributes().iter().zip(checking.occurs);
                if let Some((attribute, _)) = occurs.find(|(_, occurs)| !occurs) {
                    return Err(whole(RowProblem::Absent(attribute.name.clone())));
                }
                schema
            }
            None => {
                let mut learning = Learning(Inference::default());
                for_each_row(&path, base, watch, &mut learning)?;
                learning.0.finish().map_err(whole)?
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
        let cells = vec![Cell::Null; self.schema.attributes().len()];
        let mut scanning = Scanning { known: Known::of(&self.schema), cells, each };
        Ok(for_each_row(&self.path, self.base, Watch::none(), &mut scanning)?)
    }

    fn name(&self) -> String {
        self.path.display().to_string()
    }
}

/// What is done with lines.
trait Take {
    /// Takes a value of line number `line`; the id is none.
    fn field(&mut self, line: u64, name: &str, value: Value<'_>) -> Result<(), RowProblem>;

    /// After the last value of a row.
    fn end(&mut self, row: u64) -> ControlFlow<()>;
}

/// Learns a schema.
struct Learning(Inference);

impl Take for Learning {
    fn field(&mut self, line: u64, name: &str, value: Value<'_>) -> Result<(), RowProblem> {
        self.0.learn(line, name, value)
    }

    fn end(&mut self, _: u64) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
}

/// The attributes of a schema by name.
struct Known<'a> {
    schema: &'a Schema,
    numbers: HashMap<&'a str, usize>,
}

impl Known<'_> {
    fn of(schema: &Schema) -> Known<'_> {
        let names = schema.attributes().iter().map(|attribute| attribute.name.as_str());
        Known { schema, numbers: names.zip(0..).collect() }
    }

    /// The number of an attribute and its type.
    fn find(&self, name: &str) -> Option<(usize, AttributeType)> {
        let number = *self.numbers.get(name)?;
        self.schema.attributes().get(number).map(|attribute| (number, attribute.kind))
    }
}

/// Compares with a schema.
struct Checking<'a> {
    known: Known<'a>,
    /// Whether a line has it, for each attribute.
    occurs: Vec<bool>,
}

impl Take for Checking<'_> {
    fn field(&mut self, _: u64, name: &str, value: Value<'_>) -> Result<(), RowProblem> {
        let Some((number, kind)) = self.known.find(name) else { return Ok(()) };
        if let Some(occurs) = self.occurs.get_mut(number) {
            *occurs = true;
        }
        check(name, kind, value)
    }

    fn end(&mut self, _: u64) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
}

/// Hands over the cells of each row.
struct Scanning<'a> {
    known: Known<'a>,
    cells: Vec<Cell>,
    each: &'a mut dyn FnMut(u64, &[Cell]) -> ControlFlow<()>,
}

impl Take for Scanning<'_> {
    fn field(&mut self, _: u64, name: &str, value: Value<'_>) -> Result<(), RowProblem> {
        let Some((number, kind)) = self.known.find(name) else { return Ok(()) };
        if let Some(cell) = self.cells.get_mut(number) {
            *cell = cell_of(name, kind, value)?;
        }
        Ok(())
    }

    fn end(&mut self, row: u64) -> ControlFlow<()> {
        let flow = (self.each)(row, &self.cells);
        self.cells.fill(Cell::Null);
        flow
    }
}

fn for_each_row(
    path: &Path,
    base: BaseRows<'_>,
    watch: Watch<'_>,
    taker: &mut dyn Take,
) -> Result<(), AttributeFileError> {
    let (mut rows, mut reader, mut lines) = (RowIds::new(base), FieldReader::default(), 0_u64);
    for_each_line(path, &mut |line, text| {
        let place =
            |problem| AttributeFileError::Place { path: path.to_owned(), place: Place::Line(line), problem };
        // What is wrong with the id comes first, wherever it stands.
        let (mut id, mut problem) = (None, None);
        let mut each = |name: &str, value: Value<'_>| {
            if name == ID {
                id = Some(id_of(value));
            } else if problem.is_none() {
                problem = taker.field(line, name, value).err();
            }
        };
        reader.read(text, &mut each).map_err(place)?;
        let id = id.unwrap_or(Err(RowProblem::NoId)).map_err(place)?;
        let row = rows.row(id)?.map_err(place)?;
        if lines.is_multiple_of(LINES_A_STEP) {
            watch.step(row, base.rows)?;
        }
        lines += 1;
        match problem {
            Some(problem) => Err(place(problem)),
            None => Ok(taker.end(row)),
        }
    })?;
    (watch.progress)(base.rows, base.rows);
    Ok(())
}

fn id_of(value: Value<'_>) -> Result<u64, RowProblem> {
    let bad = |found: &dyn ToString| RowProblem::BadId(found.to_string());
    let Value::Whole(whole) = value else { return Err(bad(&value.kind())) };
    u64::try_from(whole).ok().filter(|&id| id != u64::MAX).ok_or_else(|| bad(&whole))
}

type EachLine<'a> = &'a mut dyn FnMut(u64, &str) -> Result<ControlFlow<()>, AttributeFileError>;

/// Calls `each` with the number of each line that is not blank, and its text.
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
        if each(line, text.trim_ascii_end())?.is_break() {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests;
