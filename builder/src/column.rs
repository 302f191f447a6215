//! The column of a build.
use spandrel_index::format::{ColumnEntry, Manifest, VectorsOf};
use spandrel_index::{DIM_MAX, DType, Metric};

use crate::{BuildError, Column};

/// A column as it will be built.
#[derive(Debug, Clone)]
pub(crate) struct ColumnParams {
    pub(crate) name: String,
    pub(crate) metric: Metric,
    pub(crate) dtype: DType,
    pub(crate) dim: usize,
    /// Whether the vectors that are searched are kept as well.
    pub(crate) keep_main: bool,
}

impl ColumnParams {
    /// That of an input of `vectors` vectors.
    pub(crate) fn of(column: Option<Column<'_>>, vectors: u64) -> Result<Option<ColumnParams>, BuildError> {
        let Some(Column { name, vectors: source, metric, keep_main }) = column else { return Ok(None) };
        let refused = |parameter, found: String, expected: String| {
            Err(BuildError::Parameter { parameter, found, expected })
        };
        if !ColumnEntry::is_name(name) {
            let expected = "a letter, then letters, digits and underscores, 64 at most".to_owned();
            return refused("--column: name", format!("{name:?}"), expected);
        }
        if source.len() != vectors {
            let expected = format!("{vectors}, one for each vector of --base");
            return refused("--column: number of rows", source.len().to_string(), expected);
        }
        if !(1..=DIM_MAX).contains(&source.dim()) {
            return refused("--column: dimension", source.dim().to_string(), format!("1 to {DIM_MAX}"));
        }
        let (dtype, dim) = (source.dtype(), source.dim());
        Ok(Some(ColumnParams { name: name.to_owned(), metric, dtype, dim, keep_main }))
    }

    /// How it is called in fingerprints.
    pub(crate) fn text(&self) -> String {
        let ColumnParams { name, metric, dtype, dim, keep_main } = self;
        let kept = if *keep_main { ", beside those searched" } else { "" };
        format!("{name}: {dim} x {dtype}, {metric}{kept}")
    }

    /// Bytes of a vector.
    pub(crate) fn row_bytes(&self) -> usize {
        self.dtype.row_bytes(self.dim)
    }

    /// Bytes of a record in the spill of its rows: position, id, vector.
    pub(crate) fn record_bytes(&self) -> usize {
        4 + 8 + self.row_bytes()
    }

    /// As a manifest tells of it.
    pub(crate) fn entry(&self, input_hash: String) -> ColumnEntry {
        ColumnEntry {
            name: self.name.clone(),
            metric: self.metric.to_string(),
            dtype: self.dtype.to_string(),
            dim: self.dim,
            input_hash,
        }
    }

    /// Whether a manifest has this column, of any content, or none where there is none.
    pub(crate) fn is_of(column: Option<&ColumnParams>, manifest: &Manifest) -> bool {
        let (Some(column), Some(found)) = (column, &manifest.column) else {
            return column.is_none() && manifest.column.is_none();
        };
        *found == column.entry(found.input_hash.clone())
            && manifest.holds(VectorsOf::Main) == column.keep_main
    }
}
