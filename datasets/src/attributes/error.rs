//! Why attributes or filters could not be read.
use std::fmt;
use std::io;
use std::path::PathBuf;

use spandrel_filter::{
    ATTRIBUTES_MAX, AttributeType, BindError, FromJsonError, JsonError, ParseError, SchemaError, TAGS_MAX,
    TimestampError, VALUE_BYTES_MAX,
};
use spandrel_index::{AttributeSourceError, SourceError};

use crate::file::FileError;
use crate::watch::Stopped;

/// Most bytes of a line of JSON.
pub const LINE_BYTES_MAX: usize = 16 << 20;

/// Why a file of attributes or filters could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AttributeFileError {
    /// Neither the name nor the kind of file tells the format.
    #[error("{path}: attributes are read from .jsonl, .spmat or a folder of .npy files", path = path.display())]
    UnknownFormat {
        /// Path of the attributes.
        path: PathBuf,
    },
    /// The name of a file of filters tells no format.
    #[error("{path}: its name tells no format, expected one that ends in .jsonl (a filter a line) or .spmat (a row of tags a query)", path = path.display())]
    UnknownFilters {
        /// Path of the filters.
        path: PathBuf,
    },
    /// A pipe or a device: files of attributes and filters are read more than once, and by position.
    #[error("{path}: no plain file, and it is read more than once: save it to one that ends in .jsonl or .spmat first", path = path.display())]
    NoFile {
        /// Path of the attributes or filters.
        path: PathBuf,
    },
    /// A line, row or entry cannot be used.
    #[error("{path}: {place}: {problem}", path = path.display())]
    Place {
        /// File or folder of attributes or filters.
        path: PathBuf,
        /// Where in the file.
        place: Place,
        /// What is wrong there.
        problem: RowProblem,
    },
    /// A file of a schema is no schema.
    #[error("{path}: {problem}", path = path.display())]
    Schema {
        /// File of the schema.
        path: PathBuf,
        /// Which part of the JSON is no schema.
        problem: SchemaProblem,
    },
    /// A field of the header of a matrix is out of range.
    #[error("{path}: {field} at offset {offset}: expected {expected}, found {found}", path = path.display())]
    Header {
        /// File of the matrix.
        path: PathBuf,
        /// Name of the field in the format's description.
        field: &'static str,
        /// Byte of the field in the file.
        offset: u64,
        /// What would be accepted.
        expected: String,
        /// Its value in the file.
        found: String,
    },
    /// The file is too short for a header.
    #[error("{path}: {found} bytes, of which the three counts of the header take 24", path = path.display())]
    Short {
        /// File of the matrix.
        path: PathBuf,
        /// Bytes there are.
        found: u64,
    },
    /// The file is longer or shorter than its header says.
    #[error(
        "{path}: the header counts {} rows, {} columns and {} entries, which take {expected} bytes; the file has {found}", counts[0], counts[1], counts[2],
        path = path.display()
    )]
    Size {
        /// File of the matrix.
        path: PathBuf,
        /// Rows, columns and entries by the header.
        counts: [u64; 3],
        /// Bytes that these take.
        expected: u128,
        /// Bytes there are.
        found: u64,
    },
    /// The file is of another number of rows than the vectors.
    #[error("{path}: attributes of {found} rows, there are {expected} vectors", path = path.display())]
    Rows {
        /// File or folder of attributes.
        path: PathBuf,
        /// Rows of the file.
        found: u64,
        /// Vectors of the input.
        expected: u64,
    },
    /// The schema gives a column a type that its values are not of.
    #[error("{path}: the schema says {wanted}, the file holds {found}", path = path.display())]
    ColumnType {
        /// File of the column.
        path: PathBuf,
        /// The type in the schema.
        wanted: AttributeType,
        /// What the file holds.
        found: &'static str,
    },
    /// A matrix is one attribute, of tags.
    #[error("{path}: every column of a matrix is a tag, so its schema has one attribute, of type tags", path = path.display())]
    MatrixSchema {
        /// File of the matrix.
        path: PathBuf,
    },
    /// The folder has no file that can be a column.
    #[error("{path}: no .npy file, of which each is a column", path = path.display())]
    NoColumns {
        /// Folder of columns.
        path: PathBuf,
    },
    /// The schema names an attribute that no file can be called by.
    #[error("{path}: attribute `{name}` of the schema cannot be the name of a file in it", path = path.display())]
    ColumnName {
        /// Folder of columns.
        path: PathBuf,
        /// Attribute of the schema.
        name: String,
    },
    /// The names of files are no schema.
    #[error("{path}: {source}", path = path.display())]
    Names {
        /// Folder of columns.
        path: PathBuf,
        /// Which name is refused, and why.
        source: SchemaError,
    },
    /// An npy file cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// The ids of the vectors cannot be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// Reading failed. The cause names the file.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The stop flag was set.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

impl From<AttributeFileError> for AttributeSourceError {
    fn from(error: AttributeFileError) -> Self {
        AttributeSourceError::new(error)
    }
}

/// Where in a file something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// A line, from 1 on.
    Line(u64),
    /// A row, from 0 on.
    Row(u64),
    /// The file as a whole.
    End,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Line(line) => write!(f, "line {line}"),
            Place::Row(row) => write!(f, "row {row}"),
            Place::End => f.write_str("at its end"),
        }
    }
}

/// What is wrong with a line or a row.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RowProblem {
    /// A line is too long to be read.
    #[error("more than {LINE_BYTES_MAX} bytes")]
    LongLine,
    /// A line is not UTF-8.
    #[error("byte {0} is no UTF-8")]
    NotUtf8(usize),
    /// A line is no JSON, or has a key twice.
    #[error("column {}: {}", .0.column, .0.problem)]
    Json(JsonError),
    /// A line is JSON of another kind.
    #[error("expected an object such as {{\"id\": 0, \"price\": 12.5}}, found {0}")]
    NotObject(&'static str),
    /// A line does not say of which vector it is.
    #[error("no `id`, which says of which vector the line is")]
    NoId,
    /// The id is no whole number in range.
    #[error("`id` is {0}, expected a whole number from 0 to 18446744073709551614")]
    BadId(String),
    /// No vector has the id.
    #[error("id {id} belongs to none of the {rows} vectors")]
    UnknownId {
        /// Id that no vector has.
        id: u64,
        /// Vectors of the input.
        rows: u64,
    },
    /// The id stands after that of a later vector, or twice.
    #[error("id {id} after id {last}: lines stand in the order of the vectors, one for each at most")]
    Order {
        /// Id that is out of order.
        id: u64,
        /// The id before it in the file.
        last: u64,
    },
    /// A value is not of the attribute's type.
    #[error("`{name}` is {kind}, found {found}")]
    Kind {
        /// Attribute that the value is for.
        name: String,
        /// Type of the attribute by the schema.
        kind: AttributeType,
        /// The value, or what it is.
        found: String,
    },
    /// Values of an attribute are of types that none holds.
    #[error(
        "`{name}` is {found} here and {first} in line {line}: name its type in a schema, or make all alike"
    )]
    Conflict {
        /// Attribute whose values differ in type.
        name: String,
        /// Kind of value in this row.
        found: &'static str,
        /// Kind of value in an earlier row.
        first: &'static str,
        /// The first line with that.
        line: u64,
    },
    /// A value is of a type that no attribute holds.
    #[error("`{name}` is {found}, expected a bool, a number, text, an array of tags or null")]
    Unusable {
        /// Attribute that the value is for.
        name: String,
        /// Kind of value in this row.
        found: &'static str,
    },
    /// A text is too long.
    #[error(
        "`{name}` has a value of {bytes} bytes, expected at most {VALUE_BYTES_MAX}: leave out what no filter asks for"
    )]
    ValueBytes {
        /// Attribute that the value is for.
        name: String,
        /// Bytes of the value.
        bytes: usize,
    },
    /// There are too many tags.
    #[error("`{name}` has {tags} tags, expected at most {TAGS_MAX}")]
    Tags {
        /// Attribute that the tags are for.
        name: String,
        /// Tags of the row.
        tags: usize,
    },
    /// A tag is neither text nor a whole number.
    #[error("`{name}` has {found} among its tags, expected text or whole numbers")]
    Tag {
        /// Attribute that the tags are for.
        name: String,
        /// Kind of value among the tags.
        found: &'static str,
    },
    /// A number is NaN or infinite.
    #[error("`{name}` is {value}, expected a finite number; JSON lines can leave a value out")]
    NotFinite {
        /// Attribute that the number is for.
        name: String,
        /// NaN or an infinity.
        value: f64,
    },
    /// A text is no timestamp.
    #[error("`{name}` is timestamp: {source}")]
    Timestamp {
        /// Attribute that the text is for.
        name: String,
        /// Where the text departs from RFC 3339.
        source: TimestampError,
    },
    /// A timestamp lies outside of what microseconds in 64 bits count, or between two of them.
    #[error("`{name}` is {value} {unit}, which is no whole number of microseconds in 64 bits")]
    Micros {
        /// Attribute that the timestamp is for.
        name: String,
        /// Count of `unit` since 1970.
        value: i64,
        /// Unit of the count, such as seconds.
        unit: String,
    },
    /// A text of an npy file is no Unicode.
    #[error("`{0}` holds bytes that are no text")]
    NoText(String),
    /// There are too many attributes.
    #[error("more than {ATTRIBUTES_MAX} attributes")]
    Attributes,
    /// The attributes found are no schema.
    #[error(transparent)]
    Schema(SchemaError),
    /// No line has an attribute.
    #[error("no attribute in any line")]
    Nothing,
    /// An attribute of the given schema does not occur.
    #[error("no line has the attribute `{0}` of the schema")]
    Absent(String),
    /// Where a row of a matrix begins is before the row before it, or past the end.
    #[error("its entries begin at {found}, expected {least}..={most}")]
    Start {
        /// Where they begin, in entries.
        found: i64,
        /// The end of the row before.
        least: u64,
        /// Entries of the matrix.
        most: u64,
    },
    /// An entry names no column.
    #[error("an entry in column {found}, there are {columns}")]
    Column {
        /// Column of the entry, which may be negative.
        found: i32,
        /// Columns of the matrix.
        columns: u64,
    },
    /// A query's row has no tag.
    #[error("no tag, which filters nothing")]
    NoTag,
    /// A line of filters has no filter.
    #[error("expected {{\"filter\": ...}} and `query_id` at most, found {0}")]
    NoFilter(String),
    /// The queries' numbers are out of order.
    #[error("`query_id` is {found}, expected {expected}: filters stand in the order of the queries")]
    QueryId {
        /// Number in the file, as it is written there.
        found: String,
        /// The number of the line's query.
        expected: u64,
    },
    /// A filter in JSON is none.
    #[error("filter: {0}")]
    Filter(Box<FromJsonError>),
    /// A filter in text is none.
    #[error("filter: {0}")]
    Text(Box<ParseError>),
    /// A filter does not belong to the attributes.
    #[error("filter: {0}")]
    Bind(Box<BindError>),
}

/// What is wrong with a file of a schema.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SchemaProblem {
    /// It is not UTF-8.
    #[error("byte {0} is no UTF-8")]
    NotUtf8(usize),
    /// It is too long.
    #[error("{0} bytes, expected at most {LINE_BYTES_MAX}")]
    Bytes(u64),
    /// It is no JSON, or has a key twice.
    #[error(transparent)]
    Json(JsonError),
    /// It is something else than names and types.
    #[error("expected an object of names and types such as {{\"price\": \"f64\"}}, found {0}")]
    Form(&'static str),
    /// A type is none.
    #[error(transparent)]
    Type(#[from] spandrel_names::UnknownName),
    /// The names are no schema.
    #[error(transparent)]
    Schema(#[from] SchemaError),
}
