//! Which vectors may be answers, by flags.
mod compiler;
mod search;

use std::error::Error;
use std::path::{Path, PathBuf};

use clap::Args;
use spandrel_datasets::Filters;
use spandrel_engine::FilterPlan;
use spandrel_filter::{Bound, Filter, Schema};
use spandrel_proto::v1;
use spandrel_proto::v1::filter::Form;

pub(super) use compiler::Compiler;
pub(super) use search::Searching;

use crate::{Advised, UsageError};

/// Heading of the flags that filter.
pub(super) const FILTERS: &str = "Which vectors may be answers";

/// Which vectors may be answers.
#[derive(Debug, Clone, Default, Args)]
pub struct FilterArgs {
    /// A condition on the attributes of a vector, such as 'price < 1500 and tags contains "red"', or the same in JSON: an object
    /// such as '{"price": {"$lt": 1500}, "tags": {"$contains": "red"}}'.
    #[arg(long, value_name = "EXPR", help_heading = FILTERS, value_parser = parse_filter)]
    pub filter: Option<Filter>,
    /// A filter for each query, in the order of the queries: .jsonl with {"filter": {...}} on each line, or .spmat with the tags
    /// that a vector must have in each row.
    #[arg(long, value_name = "FILE", help_heading = FILTERS, conflicts_with = "filter")]
    pub filters: Option<PathBuf>,
    /// How the vectors that match are searched, for measuring: exact compares each, codes estimates each by its code, lists searches
    /// more lists the fewer match, post leaves out afterwards what does not match [default: by the least expected cost].
    #[arg(long, value_name = "exact|codes|lists|post", help_heading = FILTERS)]
    pub filter_plan: Option<FilterPlan>,
}

/// The filters of queries.
pub(super) struct Asked {
    /// The different ones.
    pub(super) distinct: Vec<Bound>,
    /// For each query the number of its own; empty where all have the one.
    of_query: Vec<usize>,
    /// As they were written.
    written: Vec<Filter>,
    /// How they are searched; by the least expected cost if not given.
    plan: Option<FilterPlan>,
}

/// Reads a filter: an object of JSON, or text. No filter in text begins with a brace.
fn parse_filter(text: &str) -> Result<Filter, Box<dyn Error + Send + Sync>> {
    match text.trim_start().starts_with('{') {
        true => Ok(Filter::from_json(text)?),
        false => Ok(Filter::parse(text)?),
    }
}

impl FilterArgs {
    /// Whether queries have filters.
    pub(super) fn is_filtered(&self) -> bool {
        self.filter.is_some() || self.filters.is_some()
    }

    /// The filters of `queries` queries by the attributes of an index; none where none was asked for.
    pub(super) fn bind(&self, schema: &Schema, queries: u64) -> anyhow::Result<Option<Asked>> {
        let plan = self.filter_plan;
        if let Some(filter) = &self.filter {
            let distinct = vec![filter.bind(schema).map_err(|error| advised(error.into(), schema))?];
            let written = vec![filter.clone()];
            return Ok(Some(Asked { distinct, of_query: Vec::new(), written, plan }));
        }
        let Some(filters) = self.read(queries)? else {
            return match plan {
                None => Ok(None),
                Some(_) => Err(UsageError("--filter-plan needs --filter or --filters".to_owned()).into()),
            };
        };
        let bound = filters.bind(schema).map_err(|error| advised(error.into(), schema))?;
        let written = filters.iter().cloned().collect();
        Ok(Some(Asked { distinct: bound.distinct, of_query: bound.of_query, written, plan }))
    }

    /// The same for a server: one for each query, one for all, or none.
    pub(super) fn wire(&self, queries: u64) -> anyhow::Result<Vec<v1::Filter>> {
        if self.filter_plan.is_some() {
            return Err(UsageError("--filter-plan needs --index".to_owned()).into());
        }
        let wire = |filter: &Filter| v1::Filter { form: Some(Form::Text(filter.to_string())) };
        Ok(match &self.filter {
            Some(filter) => vec![wire(filter)],
            None => self.read(queries)?.iter().flat_map(Filters::iter).map(wire).collect(),
        })
    }

    /// The file of filters, if there is one.
    fn read(&self, queries: u64) -> anyhow::Result<Option<Filters>> {
        let Some(path) = &self.filters else { return Ok(None) };
        Ok(Some(read_filters(path, queries)?))
    }
}

/// A file of filters, one for each of `queries` queries.
pub(super) fn read_filters(path: &Path, queries: u64) -> anyhow::Result<Filters> {
    let filters = Filters::open(path)?;
    let count = filters.len() as u64; // CAST: widening
    if count != queries {
        let message = format!(
            "{}: filters for {count} queries, one a line or a row of the matrix; there are {queries} queries",
            path.display()
        );
        return Err(Advised::new(message, "give a filter for each query, in their order").into());
    }
    Ok(filters)
}

/// Why names or a filter do not fit an index, and where attributes come from if the index has none.
pub(super) fn advised(error: anyhow::Error, schema: &Schema) -> anyhow::Error {
    if schema.attributes().is_empty() {
        return Advised::new(error.to_string(), "build the index with --attributes").into();
    }
    error
}

impl Asked {
    /// A query's filter.
    pub(super) fn bound(&self, query: usize) -> &Bound {
        &self.distinct[self.number(query)]
    }

    /// The number of a query's filter.
    pub(super) fn number(&self, query: usize) -> usize {
        self.of_query.get(query).copied().unwrap_or_default()
    }

    /// A query's filter as it was written.
    fn written(&self, query: usize) -> Option<&Filter> {
        self.written.get(if self.of_query.is_empty() { 0 } else { query })
    }

    /// Whether all queries have one filter.
    pub(super) fn is_one(&self) -> bool {
        self.distinct.len() == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_text_or_json() {
        let text = parse_filter("price < 1500 and tags contains \"red\"").unwrap();
        for json in [
            r#"{"price": {"$lt": 1500}, "tags": {"$contains": "red"}}"#,
            " \n{\"price\": {\"$lt\": 1500}, \"tags\": {\"$contains\": \"red\"}}",
        ] {
            assert_eq!(parse_filter(json).unwrap(), text);
        }
        for (bad, says) in [
            ("{price", "key must be a string"),
            (r#"{"price": {"$near": 1}}"#, "no operator"),
            ("price", "at byte 5"),
        ] {
            let refused = parse_filter(bad).unwrap_err().to_string();
            assert!(refused.contains(says), "{refused}");
        }
    }
}
