//! File formats: one layout for all of them, a reader and a writer of vectors, a file of neighbours.
mod answer_writer;
mod array;
mod column;
mod contents;
mod documents;
mod element;
mod error;
mod format;
mod ids;
mod kind;
mod layout;
mod named;
mod npy;
mod output;
mod range_truth;
mod reader;
mod stored;
#[cfg(test)]
mod tests;
mod truth;
mod writer;

pub use answer_writer::AnswerWriter;
pub use array::Array;
pub(crate) use column::{Column, ColumnElement};
pub use contents::{Contents, contents};
pub(crate) use documents::OffsetsWriter;
pub use documents::{DocumentFileError, read_documents};
pub use error::FileError;
pub use format::{Format, UnknownFormat};
pub use ids::IdFile;
pub use named::{InFile, OutFile};
pub(crate) use output::OutputFile;
pub use output::{same_file, write_file};
pub use range_truth::RangeTruth;
pub use reader::VectorFile;
pub use truth::{Truth, TruthError};
pub use writer::VectorWriter;
