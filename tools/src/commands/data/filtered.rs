//! Filters of queries over attributes in files.
use std::path::{Path, PathBuf};

use clap::Args;
use spandrel_datasets::{BaseRows, Filters, IdFile, RowFilters};

use super::files::watched;
use crate::Session;
use crate::commands::attributes;

/// Filters, and what they look at.
#[derive(Debug, Args)]
pub struct FilteredArgs {
    /// A filter for each query, in their order: .jsonl of {"filter": ...}, or .spmat, whose tags a vector must all have.
    #[arg(long, value_name = "FILE", requires = "attributes")]
    pub filters: Option<PathBuf>,
    /// Attributes of the base, which filters look at: .jsonl, .spmat or a folder of .npy files.
    #[arg(long, value_name = "FILE|DIR", requires = "filters")]
    pub attributes: Option<PathBuf>,
    /// Names and types of the attributes, in JSON: {"price": "f64"} [default: what the attributes hold].
    #[arg(long, value_name = "FILE", requires = "attributes")]
    pub schema: Option<PathBuf>,
}

impl FilteredArgs {
    /// What filters ask of a base of some rows, with the ids in a file or their numbers. None where no filters are given.
    pub(super) fn read(
        &self,
        rows: u64,
        ids: Option<&Path>,
        session: &Session,
    ) -> anyhow::Result<Option<RowFilters>> {
        let (Some(filters), Some(path)) = (&self.filters, &self.attributes) else { return Ok(None) };
        let filters = Filters::open(filters)?;
        let ids = ids.map(IdFile::open).transpose()?;
        let base = BaseRows { rows, ids: ids.as_ref() };
        let attributes = attributes::open(path, self.schema.as_deref(), base, session)?;
        let bound = filters.bind(attributes.schema())?;
        let read = |watch: spandrel_datasets::Watch<'_>| RowFilters::read(&*attributes, bound, base, watch);
        Ok(Some(watched(session, "filters", read)?))
    }
}
