//! Matrices of a code that were learned elsewhere.
use spandrel_index::Metric;
use spandrel_index::codes::{Binariser, BinariserError, CodeSpec};
use spandrel_index::format::hash_hex;

use crate::vector_shape::VectorShape;
use crate::{BuildError, Input};

/// The matrices, where there are some, whose names and shapes are those of the code.
pub(crate) fn binariser(input: Input<'_>, code: CodeSpec) -> Result<Option<Binariser<'_>>, BinariserError> {
    input.binariser.map(|source| Binariser::new(source, code, searched_dim(input))).transpose()
}

/// Their hash, where there are some; else whether the code can be trained.
pub(crate) fn hash_of(input: Input<'_>, code: CodeSpec) -> Result<Option<String>, BuildError> {
    let found = binariser(input, code).map_err(|e| BuildError::Parameter {
        parameter: "--binariser",
        found: e.to_string(),
        expected: format!("that of {code}"),
    })?;
    if found.is_none() {
        code.check(searched_dim(input)).map_err(|e| BuildError::Parameter {
            parameter: "--code",
            found: code.to_string(),
            expected: format!("another code: {e}"),
        })?;
    }
    Ok(input.binariser.map(|source| hash_hex(source.hash())))
}

/// Looks at all values of the matrices, so that hours of work do not end with one that is no number.
pub(crate) fn check_values(input: Input<'_>, code: CodeSpec) -> Result<(), BinariserError> {
    binariser(input, code)?.map_or(Ok(()), |binariser| binariser.check_values())
}

/// Elements of what lists are made of: of the vectors, or of the encodings of documents.
fn searched_dim(input: Input<'_>) -> usize {
    // The metric does not matter to it.
    VectorShape::of_input(input, Metric::InnerProduct).dim
}
