//! File formats: one layout for all of them, a reader and a writer of vectors, a file of neighbours.
mod array;
mod atomic;
mod contents;
mod error;
mod format;
mod ids;
mod kind;
mod layout;
mod npy;
mod reader;
mod stored;
#[cfg(test)]
mod tests;
mod truth;
mod writer;

pub use array::Array;
pub(crate) use atomic::same_file;
pub use atomic::write_file;
pub use contents::{Contents, contents};
pub use error::FileError;
pub use format::{Format, InFile, OutFile, UnknownFormat};
pub use ids::IdFile;
pub use reader::VectorFile;
pub use truth::{Truth, TruthError};
pub use writer::VectorWriter;
