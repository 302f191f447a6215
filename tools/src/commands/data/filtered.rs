//! Filters of queries over attributes in files.
use std::path::{Path, PathBuf};

use clap::Args;
use spandrel_datasets::{BaseRows, IdFile, RowFilters};

use super::files::watched;
use crate::commands::attributes::AttributeFileArgs;
use crate::commands::filter::read_filters;
use crate::{Session, UsageError};

/// Filters, and what they look at.
#[derive(Debug, Args)]
pub struct FilteredArgs {
    /// A filter for each query, in their order: .jsonl of {"filter": ...}, or .spmat, whose tags a vector must all have.
    #[arg(long, value_name = "FILE", requires = "attributes")]
    pub filters: Option<PathBuf>,
    /// Attributes of the base, which filters look at.
    #[command(flatten)]
    pub attributes: AttributeFileArgs,
}

/// Queries that have filters, and the rows that these choose from.
#[derive(Debug, Clone, Copy)]
pub(super) struct FilteredCounts {
    pub(super) queries: u64,
    pub(super) rows: u64,
}

impl FilteredArgs {
    /// What filters of queries ask of a base, with the ids in a file or their numbers. None where no filters are given.
    pub(super) fn read(
        &self,
        counts: FilteredCounts,
        ids: Option<&Path>,
        session: &Session,
    ) -> anyhow::Result<Option<RowFilters>> {
        let Some(filters) = &self.filters else {
            return match self.attributes.attributes {
                Some(_) => Err(UsageError("--attributes needs --filters".to_owned()).into()),
                None => Ok(None),
            };
        };
        let FilteredCounts { queries, rows } = counts;
        let filters = read_filters(filters, queries)?;
        let ids = ids.map(IdFile::open).transpose()?;
        let base = BaseRows { rows, ids: ids.as_ref() };
        let Some(attributes) = self.attributes.open(base, session)? else {
            unreachable!("the parser asks for attributes beside filters")
        };
        let bound = filters.bind(attributes.schema())?;
        let read = |watch: spandrel_datasets::Watch<'_>| RowFilters::read(&*attributes, bound, base, watch);
        Ok(Some(watched(session, "filters", read)?))
    }
}
