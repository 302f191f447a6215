//! What a file holds, from its header alone.
use std::path::Path;

use fs_err::File;
use spandrel_index::DType;

use super::FileError;
use super::layout::{Element, Layout};

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
    /// Number of rows.
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

/// Reads a header and checks it against the file's length.
///
/// # Errors
/// Those of opening the file.
pub fn contents(path: &Path) -> Result<Contents, FileError> {
    super::Format::of(path)?;
    let Layout { element, rows, width, distances, .. } = Layout::read(path, &File::open(path)?)?;
    Ok(match element {
        Element::Vector(dtype) => Contents::Vectors { dtype, rows, dim: width },
        Element::Id32 | Element::Id64 => Contents::Ids { rows, k: width, distances },
    })
}
