//! Searches among the vectors that match filters.
use std::sync::Arc;

use spandrel_engine::{Answer, Engine, QueryRows, SearchError, SearchParams};
use spandrel_index::Matches;
use spandrel_index::attributes::CompileError;

use super::Compiler;
use crate::Session;
use crate::commands::callers;

/// An engine, and the filters of the queries that it answers.
#[derive(Clone, Copy)]
pub(crate) struct Searching<'a> {
    pub(crate) engine: &'a Engine,
    /// None where queries have no filter.
    pub(crate) filters: Option<&'a Compiler<'a>>,
    /// Queries with filters of their own that are searched at the same time.
    pub(crate) callers: usize,
    pub(crate) session: &'a Session,
}

impl Searching<'_> {
    /// The vectors that match the filter of a query, if it has one.
    pub(crate) fn filter(&self, query: usize) -> Result<Option<Arc<Matches>>, CompileError> {
        self.filters.map(|filters| filters.matches(query)).transpose()
    }

    /// The answers to queries, of which the first is number `first` of all.
    ///
    /// # Errors
    /// [`SearchError`], [`CompileError`]. A query that is refused is named by its number in `rows`.
    pub(crate) fn answers(
        &self,
        first: usize,
        rows: QueryRows<'_>,
        params: &SearchParams,
    ) -> anyhow::Result<Vec<Answer>> {
        let Searching { engine, filters, callers, session } = self;
        let filter_plan = filters.and_then(Compiler::plan);
        let one = |query, rows: QueryRows<'_>| -> anyhow::Result<Vec<Answer>> {
            let params = SearchParams { filter: self.filter(query)?, filter_plan, ..params.clone() };
            let mut answers = engine.search_until(rows, &params, &session.stop)?;
            for explanation in answers.iter_mut().filter_map(|answer| answer.explanation.as_mut()) {
                explanation.parts =
                    filters.map(|filters| filters.parts(query)).transpose()?.unwrap_or_default();
            }
            Ok(answers)
        };
        if filters.is_none_or(Compiler::is_one) {
            return one(first, rows);
        }
        let row_bytes = engine.index().row_bytes();
        let count = rows.main.len() / row_bytes;
        let row = |rows: &[u8], number: usize| {
            let bytes = rows.len() / count;
            number * bytes..(number + 1) * bytes
        };
        callers::answers(count, *callers, |number| {
            let main = &rows.main[row(rows.main, number)];
            let column = rows.column.map(|rows| &rows[row(rows, number)]);
            Ok(one(first + number, QueryRows { main, column })?.pop().ok_or(SearchError::Closed)?)
        })
    }
}
