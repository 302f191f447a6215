//! A column of vectors by which candidates are compared: its flags, its file, and its queries.
use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;
use serde_json::{Value, json};
use spandrel_builder::{Column, Plan};
use spandrel_datasets::{Converted, VectorFile};
use spandrel_index::format::{ColumnEntry, VectorsOf};
use spandrel_index::{Index, Metric, VectorSource as _, VectorsShape};

use super::input::InputArgs;
use super::search::{Fit, open_queries};
use crate::figures::units;
use crate::{Advised, Session, UsageError};

/// `NAME=FILE`.
#[derive(Debug, Clone)]
pub struct NamedFile {
    name: String,
    path: PathBuf,
}

impl FromStr for NamedFile {
    type Err = String;

    fn from_str(text: &str) -> Result<NamedFile, String> {
        match text.split_once('=') {
            Some((name, path)) if !name.is_empty() && !path.is_empty() => {
                Ok(NamedFile { name: name.to_owned(), path: path.into() })
            }
            _ => Err("expected NAME=FILE".to_owned()),
        }
    }
}

/// `NAME=FILE:METRIC`.
#[derive(Debug, Clone)]
pub struct ColumnFile {
    file: NamedFile,
    metric: Metric,
}

impl FromStr for ColumnFile {
    type Err = String;

    fn from_str(text: &str) -> Result<ColumnFile, String> {
        let expected = || "expected NAME=FILE:METRIC".to_owned();
        let (file, metric) = text.rsplit_once(':').ok_or_else(expected)?;
        let metric = metric.parse().map_err(|e| format!("{e}"))?;
        Ok(ColumnFile { file: file.parse().map_err(|_| expected())?, metric })
    }
}

/// The column that an index gets.
#[derive(Debug, Clone, Args)]
pub struct ColumnArgs {
    /// Other vectors of the same things, row by row, by which candidates are compared in place of those of --base: of any dimension,
    /// element type and metric. Queries name them by NAME.
    #[arg(long, value_name = "NAME=FILE:METRIC", requires = "base")]
    pub column: Vec<ColumnFile>,
    /// Keep the vectors of --base as well as the column, so that queries without a vector of the column are answered by them.
    #[arg(long, requires = "column")]
    pub keep_coarse: bool,
}

/// The file of a column, open.
pub(super) struct OpenColumn {
    name: String,
    pub(super) file: VectorFile,
    metric: Metric,
    keep_main: bool,
}

impl ColumnArgs {
    /// The file, if there is one.
    pub(super) fn open(&self, input: &InputArgs) -> anyhow::Result<Option<OpenColumn>> {
        let Some(ColumnFile { file, metric }) = only(&self.column, "--column")? else { return Ok(None) };
        let (name, metric, keep_main) = (file.name.clone(), *metric, self.keep_coarse);
        Ok(Some(OpenColumn { name, file: input.open(&file.path)?, metric, keep_main }))
    }
}

impl OpenColumn {
    /// As a build takes it, of other vectors of the same shape where they are given.
    pub(super) fn input<'a>(&'a self, vectors: &'a dyn spandrel_index::VectorSource) -> Column<'a> {
        Column { name: &self.name, vectors, metric: self.metric, keep_main: self.keep_main }
    }
}

/// The column of an index, and what queries have to be like in it.
#[derive(Debug, Clone)]
pub(super) struct ColumnFit {
    pub(super) name: String,
    pub(super) fit: Fit,
}

impl ColumnFit {
    /// That of an index, if it has one.
    pub(super) fn of(index: &Index) -> Option<ColumnFit> {
        let name = index.column()?.name.clone();
        let VectorsShape { dim, dtype, .. } = index.shape_of(VectorsOf::Column);
        Some(ColumnFit { name, fit: Fit { dim, dtype } })
    }
}

/// The queries' vectors in the column of an index.
#[derive(Debug, Clone, Args)]
pub struct ColumnQueriesArgs {
    /// The queries' vectors in the index's column of this name, row by row: candidates are compared by them, the nearest --rerank by their
    /// codes [default: 100, or 10 for each neighbour if that is more]. No recall is promised then.
    #[arg(long, value_name = "NAME=FILE", requires = "queries", conflicts_with = "radius")]
    pub column_queries: Vec<NamedFile>,
}

impl ColumnQueriesArgs {
    /// By which vectors candidates are compared.
    pub(super) fn compare_by(&self) -> VectorsOf {
        if self.column_queries.is_empty() { VectorsOf::Main } else { VectorsOf::Column }
    }

    /// The file, if there is one, for the column that an index has: with a row for each of the `queries`.
    pub(super) fn open(
        &self,
        column: Option<ColumnFit>,
        input: &InputArgs,
        queries: u64,
        session: &Session,
    ) -> anyhow::Result<Option<Converted<VectorFile>>> {
        let Some(NamedFile { name, path }) = only(&self.column_queries, "--column-queries")? else {
            return Ok(None);
        };
        let fit = match column {
            Some(column) if column.name == *name => column.fit,
            Some(ColumnFit { name: own, .. }) => {
                let message = format!("the index has no column {name}, its column is {own}");
                return Err(Advised::new(message, format!("give --column-queries {own}=FILE")).into());
            }
            None => {
                let message = format!("the index has no column {name}, nor any other");
                return Err(Advised::new(message, "leave out --column-queries").into());
            }
        };
        let file = open_queries(fit, input, path, session)?;
        if file.len() != queries {
            let (path, found) = (path.display(), units::count(file.len()));
            let message = format!("{path}: {found} rows for {} queries", units::count(queries));
            return Err(Advised::new(message, "give one row for each query").into());
        }
        Ok(Some(file))
    }
}

/// The only one of what a flag gave, if it was given.
fn only<'a, T>(given: &'a [T], flag: &str) -> anyhow::Result<Option<&'a T>> {
    match given {
        [] => Ok(None),
        [one] => Ok(Some(one)),
        more => {
            let message = format!(
                "{flag} is given {} times, expected once: an index has one column besides the vectors that are searched",
                more.len()
            );
            Err(UsageError(message).into())
        }
    }
}

/// What is planned, for programs.
pub(super) fn plan_json(plan: &Plan) -> Value {
    let Some(column) = &plan.column else { return Value::Null };
    json!({ "name": column.name, "index_bytes": column.index_bytes, "keeps_coarse": column.keep_main })
}

/// What is planned, in a line; none without a column.
pub(super) fn plan_text(plan: &Plan) -> Option<String> {
    let column = plan.column.as_ref()?;
    let bytes = units::bytes(column.index_bytes as f64); // CAST: shown to three digits
    let kept = if column.keep_main { "beside those of --base" } else { "in place of those of --base" };
    Some(format!("{}, {bytes} on disk, {kept}", column.name))
}

/// The column of an index, for programs.
pub(super) fn json(index: &Index) -> Value {
    let Some(ColumnEntry { name, metric, dtype, dim, input_hash }) = index.column() else {
        return Value::Null;
    };
    json!({
        "name": name,
        "metric": metric,
        "dtype": dtype,
        "dim": dim,
        "input_hash": input_hash,
        "keeps_coarse": index.holds(VectorsOf::Main),
    })
}

/// The same in a line.
pub(super) fn text(index: &Index) -> Option<String> {
    let ColumnEntry { name, metric, dtype, dim, .. } = index.column()?;
    let kept = match index.holds(VectorsOf::Main) {
        true => "beside the vectors that are searched",
        false => "in place of the vectors that are searched",
    };
    Some(format!("{name}: {dim} x {dtype}, {metric}, {kept}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_files_and_metrics_are_told_apart() {
        let ColumnFile { file, metric } = "fine=a:b=c.f16bin:ip".parse().unwrap();
        assert_eq!(
            (file.name.as_str(), file.path, metric),
            ("fine", "a:b=c.f16bin".into(), Metric::InnerProduct)
        );
        for wrong in ["fine", "fine=a.fbin", "=a.fbin:ip", "fine=:ip", "fine=a.fbin:l3", "a.fbin:ip"] {
            assert!(wrong.parse::<ColumnFile>().is_err(), "{wrong}");
        }
        assert!(["fine", "=a", "fine="].iter().all(|wrong| wrong.parse::<NamedFile>().is_err()));
    }
}
