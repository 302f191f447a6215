//! Attributes in a folder of npy files, each a column.
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use half::f16;
use spandrel_filter::{Attribute, AttributeType, Cell, Schema, parse_timestamp};
use spandrel_index::{AttributeSource, AttributeSourceError};

use super::cell::{finite, short};
use super::error::{AttributeFileError, Place, RowProblem};
use crate::file::{Column, ColumnElement};
use crate::watch::Watch;

/// Bytes of all columns read at once.
const BLOCK_BYTES: usize = 16 << 20;

/// A folder of npy files of one dimension. `NAME.npy` holds the attribute `NAME`, a value for each vector in their order:
/// bools, integers, floats, texts (U or S), or datetime64, whose NaT is a null. Attributes are in the order of their names.
#[derive(Debug)]
pub struct NpyColumns {
    path: PathBuf,
    columns: Vec<Column>,
    schema: Schema,
    rows: u64,
}

impl NpyColumns {
    /// Opens the files of a folder and checks all values. A given schema names the files to read, and may make timestamps of
    /// integers (microseconds) or texts, and `f64` of integers.
    ///
    /// # Errors
    /// Files that cannot be read, are of another number of rows, or hold what no attribute does: NaN, long texts, integers
    /// over 63 bits; the stop flag.
    pub fn open(
        path: impl Into<PathBuf>,
        rows: u64,
        schema: Option<Schema>,
        watch: Watch<'_>,
    ) -> Result<NpyColumns, AttributeFileError> {
        let path = path.into();
        let names = match &schema {
            Some(schema) => schema.attributes().iter().map(|attribute| attribute.name.clone()).collect(),
            None => names_in(&path)?,
        };
        let (mut columns, mut attributes) = (Vec::new(), Vec::new());
        for (number, name) in names.into_iter().enumerate() {
            // A name from a schema must not lead out of the folder.
            if name.chars().any(std::path::is_separator) {
                return Err(AttributeFileError::ColumnName { path, name });
            }
            let column = Column::open(&path.join(format!("{name}.npy")))?;
            let wanted = schema.as_ref().and_then(|schema| schema.attributes().get(number));
            let kind = kind_of(&column, wanted.map(|attribute| attribute.kind))?;
            if column.rows != rows {
                let path = column.path().to_owned();
                return Err(AttributeFileError::Rows { path, found: column.rows, expected: rows });
            }
            columns.push(column);
            attributes.push(Attribute { name, kind });
        }
        let named = Schema::new(attributes);
        let schema = named.map_err(|source| AttributeFileError::Names { path: path.clone(), source })?;
        let columns = NpyColumns { path, columns, schema, rows };
        columns.walk(watch, &mut |_, _| ControlFlow::Continue(()))?;
        Ok(columns)
    }

    fn walk(
        &self,
        watch: Watch<'_>,
        each: &mut dyn FnMut(u64, &[Cell]) -> ControlFlow<()>,
    ) -> Result<(), AttributeFileError> {
        let width: usize = self.columns.iter().map(|column| column.width).sum();
        let at_once = (BLOCK_BYTES / width.max(1)).max(1);
        let mut blocks = vec![Vec::new(); self.columns.len()];
        let mut cells = vec![Cell::Null; self.columns.len()];
        let mut first = 0;
        while first < self.rows {
            watch.step(first, self.rows)?;
            let count = (at_once as u64).min(self.rows - first); // CAST: widening
            for (column, block) in self.columns.iter().zip(&mut blocks) {
                column.read(first, count as usize, block)?; // CAST: at most `at_once`
            }
            for row in 0..count as usize {
                let number = first + row as u64; // CAST: widening
                for (at, column) in self.columns.iter().enumerate() {
                    let bytes = &blocks[at][row * column.width..(row + 1) * column.width];
                    let attribute = &self.schema.attributes()[at];
                    let place = |problem| AttributeFileError::Place {
                        path: column.path().to_owned(),
                        place: Place::Row(number),
                        problem,
                    };
                    cells[at] = cell_of(column.element, attribute, bytes).map_err(place)?;
                }
                if each(number, &cells).is_break() {
                    return Ok(());
                }
            }
            first += count;
        }
        (watch.progress)(self.rows, self.rows);
        Ok(())
    }
}

impl AttributeSource for NpyColumns {
    fn schema(&self) -> &Schema {
        &self.schema
    }

    fn len(&self) -> u64 {
        self.rows
    }

    fn scan(
        &self,
        each: &mut dyn FnMut(u64, &[Cell]) -> ControlFlow<()>,
    ) -> Result<(), AttributeSourceError> {
        Ok(self.walk(Watch::none(), each)?)
    }

    fn name(&self) -> String {
        self.path.display().to_string()
    }
}

/// The names of the npy files of a folder, without the ending, sorted.
fn names_in(path: &Path) -> Result<Vec<String>, AttributeFileError> {
    let mut names = Vec::new();
    for entry in fs_err::read_dir(path)? {
        let name = entry?.file_name();
        if let Some(name) = name.to_str().and_then(|name| name.strip_suffix(".npy")) {
            names.push(name.to_owned());
        }
    }
    names.sort_unstable();
    if names.is_empty() {
        return Err(AttributeFileError::NoColumns { path: path.to_owned() });
    }
    Ok(names)
}

/// The type of a column: that of the schema if its values can be of it.
fn kind_of(column: &Column, wanted: Option<AttributeType>) -> Result<AttributeType, AttributeFileError> {
    use AttributeType::{Bool, F64, I64, Keyword, Timestamp};
    let (kinds, found): (&[AttributeType], &str) = match column.element {
        ColumnElement::Bool => (&[Bool], "bools"),
        ColumnElement::Whole { .. } => (&[I64, F64, Timestamp], "integers"),
        ColumnElement::Float => (&[F64], "floats"),
        ColumnElement::Text | ColumnElement::Bytes => (&[Keyword, Timestamp], "texts"),
        ColumnElement::Time { .. } => (&[Timestamp], "times"),
    };
    let wanted = wanted.unwrap_or(kinds[0]);
    if kinds.contains(&wanted) {
        return Ok(wanted);
    }
    Err(AttributeFileError::ColumnType { path: column.path().to_owned(), wanted, found })
}

fn cell_of(element: ColumnElement, attribute: &Attribute, bytes: &[u8]) -> Result<Cell, RowProblem> {
    let Attribute { name, kind } = attribute;
    match element {
        ColumnElement::Bool => Ok(Cell::Bool(bytes != [0])),
        ColumnElement::Whole { signed } => {
            let value = whole(name, *kind, signed, bytes)?;
            Ok(match kind {
                AttributeType::F64 => Cell::F64(value as f64), // CAST: the nearest, as of JSON
                AttributeType::Timestamp => Cell::Timestamp(value),
                _ => Cell::I64(value),
            })
        }
        ColumnElement::Float => Ok(Cell::F64(finite(name, float(bytes))?)),
        ColumnElement::Time { nanoseconds } => {
            let count = i64::from_le_bytes(padded(bytes, 0));
            if count == i64::MIN {
                return Ok(Cell::Null);
            }
            let total = i128::from(count) * i128::from(nanoseconds);
            let micros = i64::try_from(total / 1000).ok().filter(|_| total % 1000 == 0);
            let bad = || RowProblem::Micros {
                name: name.clone(),
                value: count,
                unit: format!("x {nanoseconds} ns"),
            };
            Ok(Cell::Timestamp(micros.ok_or_else(bad)?))
        }
        ColumnElement::Text | ColumnElement::Bytes => {
            let text = text(element, bytes).ok_or_else(|| RowProblem::NoText(name.clone()))?;
            short(name, &text)?;
            if *kind == AttributeType::Keyword {
                return Ok(Cell::Keyword(text));
            }
            let bad = |source| RowProblem::Timestamp { name: name.clone(), source };
            Ok(Cell::Timestamp(parse_timestamp(&text).map_err(bad)?))
        }
    }
}

fn whole(name: &str, kind: AttributeType, signed: bool, bytes: &[u8]) -> Result<i64, RowProblem> {
    let is_negative = signed && bytes.last().is_some_and(|&last| last >= 0x80);
    let wide = padded(bytes, if is_negative { 0xff } else { 0 });
    let value = i64::from_le_bytes(wide);
    if value < 0 && !signed {
        let found = u64::from_le_bytes(wide).to_string();
        return Err(RowProblem::Kind { name: name.to_owned(), kind, found });
    }
    Ok(value)
}

fn float(bytes: &[u8]) -> f64 {
    match *bytes {
        [a, b] => f16::from_le_bytes([a, b]).to_f64(),
        [a, b, c, d] => f32::from_le_bytes([a, b, c, d]).into(),
        _ => f64::from_le_bytes(padded(bytes, 0)),
    }
}

/// Eight bytes: these, and more of the last kind.
fn padded(bytes: &[u8], fill: u8) -> [u8; 8] {
    let mut wide = [fill; 8];
    wide.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    wide
}

/// The text of an element, without the zeros that fill it up.
fn text(element: ColumnElement, bytes: &[u8]) -> Option<String> {
    let used = bytes.len() - bytes.iter().rev().take_while(|&&byte| byte == 0).count();
    if element == ColumnElement::Bytes {
        return std::str::from_utf8(&bytes[..used]).ok().map(str::to_owned);
    }
    let codes = bytes.as_chunks::<4>().0.iter().take(used.div_ceil(4));
    codes.map(|&code| char::from_u32(u32::from_le_bytes(code))).collect()
}

#[cfg(test)]
mod tests;
