//! Filters in a file, one for each query in the order of the queries.
use std::collections::HashMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use spandrel_filter::{Bound, Filter, Json, Schema, TagMode};

use super::error::{AttributeFileError, Place, RowProblem};
use super::lines::for_each_line;
use super::matrix::{Matrix, TAGS};
use super::metadata::metadata_of;
use crate::watch::Watch;

/// Filters of queries. Each has the place that it was read from.
#[derive(Debug)]
pub struct Filters {
    path: PathBuf,
    filters: Vec<Placed>,
}

#[derive(Debug)]
struct Placed {
    filter: Filter,
    place: Place,
}

/// Filters of queries bound to a schema, equal ones kept once.
#[derive(Debug, Default)]
pub struct BoundFilters {
    /// The different filters, in the order in which they first come.
    pub distinct: Vec<Bound>,
    /// For each query the number of its filter in `distinct`.
    pub of_query: Vec<usize>,
}

impl Filters {
    /// Reads a file. `.jsonl`: `{"filter": {...}}` on each line, in JSON or as text, and `query_id`, the number of the query
    /// from 0 on, if wanted. `.spmat`: a row for each query, whose tags a vector's `tags` must all contain.
    ///
    /// # Errors
    /// A file that cannot be read, a line or row that is no filter.
    pub fn open(path: impl AsRef<Path>) -> Result<Filters, AttributeFileError> {
        let path = path.as_ref();
        metadata_of(path)?;
        let filters = match path.extension().and_then(|extension| extension.to_str()) {
            Some("jsonl") => of_lines(path)?,
            Some("spmat") => of_matrix(path)?,
            _ => return Err(AttributeFileError::UnknownFilters { path: path.to_owned() }),
        };
        Ok(Filters { path: path.to_owned(), filters })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.filters.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.filters.is_empty()
    }

    /// The filters, in the order of the queries.
    pub fn iter(&self) -> impl Iterator<Item = &Filter> {
        self.filters.iter().map(|placed| &placed.filter)
    }

    /// Binds all filters to a schema.
    ///
    /// # Errors
    /// The first that does not bind, with its line or row.
    pub fn bind(&self, schema: &Schema) -> Result<BoundFilters, AttributeFileError> {
        let mut numbers: HashMap<Bound, usize> = HashMap::new();
        let mut bound = BoundFilters::default();
        for Placed { filter, place } in &self.filters {
            let key = filter.bind(schema).map_err(|error| AttributeFileError::Place {
                path: self.path.clone(),
                place: *place,
                problem: RowProblem::Bind(Box::new(error)),
            })?;
            let number = *numbers.entry(key).or_insert_with_key(|key| {
                bound.distinct.push(key.clone());
                bound.distinct.len() - 1
            });
            bound.of_query.push(number);
        }
        Ok(bound)
    }
}

fn of_lines(path: &Path) -> Result<Vec<Placed>, AttributeFileError> {
    let mut filters = Vec::new();
    for_each_line(path, &mut |line, text| {
        let place = Place::Line(line);
        let query = filters.len() as u64; // CAST: widening
        let json = Json::parse(text).map_err(RowProblem::Json);
        let filter = json
            .and_then(|json| of_line(query, &json))
            .map_err(|problem| AttributeFileError::Place { path: path.to_owned(), place, problem })?;
        filters.push(Placed { filter, place });
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(filters)
}

fn of_line(query: u64, json: &Json) -> Result<Filter, RowProblem> {
    let Json::Object(entries) = json else { return Err(RowProblem::NoFilter(json.kind().to_owned())) };
    let mut filter = None;
    for (key, json) in entries {
        match (key.as_str(), json) {
            ("filter", Json::Text(text)) => {
                filter = Some(Filter::parse(text).map_err(|error| RowProblem::Text(Box::new(error)))?)
            }
            ("filter", json) => {
                filter =
                    Some(Filter::from_json_tree(json).map_err(|error| RowProblem::Filter(Box::new(error)))?)
            }
            ("query_id", Json::Whole(number)) if *number == i128::from(query) => {}
            ("query_id", Json::Whole(number)) => {
                return Err(RowProblem::QueryId { found: number.to_string(), expected: query });
            }
            ("query_id", other) => {
                return Err(RowProblem::QueryId { found: other.kind().to_owned(), expected: query });
            }
            (key, _) => {
                return Err(RowProblem::NoFilter(format!("`{}`", key.chars().take(40).collect::<String>())));
            }
        }
    }
    filter.ok_or_else(|| RowProblem::NoFilter("no `filter`".to_owned()))
}

fn of_matrix(path: &Path) -> Result<Vec<Placed>, AttributeFileError> {
    let mut filters = Vec::new();
    Matrix::open(path)?.for_each_row(Watch::none(), &mut |row, columns| {
        if columns.is_empty() {
            return Err(RowProblem::NoTag);
        }
        let tags = columns.iter().map(u32::to_string).collect();
        let filter = Filter::Contains { name: TAGS.to_owned(), tags, mode: TagMode::All };
        filters.push(Placed { filter, place: Place::Row(row) });
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(filters)
}

#[cfg(test)]
mod tests;
