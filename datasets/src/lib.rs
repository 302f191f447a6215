//! Files of vectors: reading, writing, exact neighbours, generated sets.
//!
//! Promises: a count in a header sizes nothing before it was checked against the file's length; a file
//! that is written replaces an older one whole or not at all; results depend on input, parameters and seed,
//! never on the number of threads. It does not know what an index is.
mod file;
mod rows;

pub use file::{FileError, Format, Truth, TruthError, VectorFile, VectorWriter};
pub use rows::{Rows, RowsError};
