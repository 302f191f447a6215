//! What a file holds, from its header alone.
use spandrel_index::DType;

use super::layout::Layout;
use super::{FileError, Format, InFile};

/// What the rows of a file are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contents {
    /// Vectors.
    Vectors {
        /// Their element type.
        dtype: DType,
        /// Number of vectors.
        rows: u64,
        /// Elements of each.
        dim: usize,
    },
    /// Ids, such as true neighbours.
    Ids {
        /// Number of queries.
        rows: u64,
        /// Ids for each.
        k: usize,
        /// Whether their distances follow.
        distances: bool,
    },
}

impl Contents {
    /// Rows that the file holds, of any contents.
    pub fn rows(self) -> u64 {
        match self {
            Contents::Vectors { rows, .. } | Contents::Ids { rows, .. } => rows,
        }
    }

    /// Elements of each row.
    pub fn dim(self) -> usize {
        match self {
            Contents::Vectors { dim, .. } => dim,
            Contents::Ids { k, .. } => k,
        }
    }
}

/// Reads a header and checks it against the file's length: the format and what the file holds.
///
/// # Errors
/// Those of opening the file.
pub fn contents(from: InFile<'_>) -> Result<(Format, Contents), FileError> {
    let (_, Layout { format, element, rows, width, distances, .. }) = Layout::open(from)?;
    let contents = match element.dtype() {
        Some(dtype) => Contents::Vectors { dtype, rows, dim: width },
        None => Contents::Ids { rows, k: width, distances },
    };
    Ok((format, contents))
}
