//! Files of vectors, attributes and filters: reading, writing, exact neighbours, generated sets, vectors from scores.
//!
//! Promises: a count in a header sizes nothing before it was checked against the file's length; a file
//! that is written replaces an older one whole or not at all; results depend on input, parameters and seed,
//! never on the number of threads. It does not know what an index is.
mod attributes;
pub mod catalogue;
mod convert;
mod converted;
pub mod cur;
mod file;
mod fuse;
mod generate;
pub mod get;
pub mod labels;
mod neighbours;
mod npz;
mod rows;
mod values;
mod watch;

pub use attributes::{
    AttributeFileError, BaseRows, BoundFilters, Filters, JsonLines, LINE_BYTES_MAX, NpyColumns, Place,
    RowFilters, RowFiltersError, RowProblem, SchemaProblem, TagMatrix, open_attributes, read_schema,
};
pub use convert::{ConvertError, Info, Norms, ValueScan, convert, crop, info, scan_values};
pub use converted::Converted;
pub use file::{
    AnswerWriter, Array, Contents, DocumentFileError, FileError, Format, IdFile, InFile, OutFile, RangeTruth,
    Truth, TruthError, UnknownFormat, VectorFile, VectorWriter, contents, read_documents, same_file,
    write_file,
};
pub use fuse::{FuseError, FuseParams, fuse};
pub use generate::{
    DOCUMENT_BYTES_MAX, GenerateError, GenerateParams, GenerateTokensParams, GeneratedDocuments, Kind,
    TOPICS_MAX, TokenFiles, generate, generate_rows, generate_tokens,
};
pub use neighbours::{
    ComputeTruthError, DocumentTruthParams, Documents, K_MAX, RangeTruthParams, TruthParams,
    compute_document_truth, compute_range_truth, compute_truth,
};
pub use npz::NpzFile;
pub use rows::{Rows, RowsError};
pub use values::{BadRow, CheckError};
pub use watch::{Stopped, Watch};
