//! Filters, compiled for the index that is searched.
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use serde::Serialize;
use spandrel_engine::FilterPlan;
use spandrel_filter::Filter;
use spandrel_index::attributes::{CompileError, CompileLimits, compile};
use spandrel_index::{Index, Matches};

use super::Asked;
use crate::Session;
use crate::commands::callers;

/// Memory that compiling one filter may take.
const COMPILE_BYTES: usize = 1 << 30;
/// Memory for filters that were compiled. Those for which there is no room are compiled again for each query.
const KEPT_BYTES: usize = 1 << 30;

/// Filters that are compiled to take the time of it.
const COMPILED_MAX: usize = 1000;
/// Parts of a filter that are told of.
const PARTS_MAX: usize = 100;
/// Characters of a condition that are shown.
const SHOWN: usize = 100;

/// A part of a filter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct FilterPart {
    /// Parts that it is a part of.
    pub(crate) depth: usize,
    /// `and`, `or`, `not`, or a condition.
    pub(crate) text: String,
    /// Vectors that match it.
    pub(crate) matches: u64,
}

fn shortened(text: String) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{} ...", &text[..end]),
        None => text,
    }
}

/// Compiles the filters of queries, and keeps what it compiled.
pub(crate) struct Compiler<'a> {
    index: &'a Index,
    asked: Asked,
    stop: &'a AtomicBool,
    kept: Mutex<Kept>,
}

struct Kept {
    /// By the number of the filter.
    matches: Vec<Option<Arc<Matches>>>,
    bytes: usize,
}

impl<'a> Compiler<'a> {
    pub(crate) fn new(index: &'a Index, asked: Asked, stop: &'a AtomicBool) -> Compiler<'a> {
        let kept = Kept { matches: vec![None; asked.distinct.len()], bytes: 0 };
        Compiler { index, asked, stop, kept: Mutex::new(kept) }
    }

    /// The vectors that match the filter of a query.
    pub(crate) fn matches(&self, query: usize) -> Result<Arc<Matches>, CompileError> {
        let number = self.asked.number(query);
        let kept = |kept: &Kept| kept.matches.get(number).cloned().flatten();
        if let Some(matches) = kept(&self.kept.lock().unwrap_or_else(PoisonError::into_inner)) {
            return Ok(matches);
        }
        let matches = Arc::new(self.compile(query)?);
        let mut all = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = all.bytes + matches.memory_bytes();
        if bytes <= KEPT_BYTES && kept(&all).is_none() {
            all.bytes = bytes;
            all.matches[number] = Some(Arc::clone(&matches));
        }
        Ok(matches)
    }

    /// The same, compiled anew.
    pub(crate) fn compile(&self, query: usize) -> Result<Matches, CompileError> {
        compile(self.index, &self.asked.distinct[self.asked.number(query)], self.limits())
    }

    fn limits(&self) -> CompileLimits<'_> {
        CompileLimits { memory_bytes: COMPILE_BYTES, deadline: None, stop: self.stop }
    }

    /// Compiles the filters of all queries before they are searched for, and keeps those for which there is room.
    pub(crate) fn compile_all(&self, threads: usize, session: &Session) -> anyhow::Result<()> {
        let meter = session.meter();
        meter.phase("compiling filters", "filters");
        let compiled = callers::answers(self.count(), threads, |query| Ok(self.matches(query).map(drop)?));
        meter.finish();
        compiled.map(drop)
    }

    /// Queries with a filter of their own, or 1 for all.
    fn count(&self) -> usize {
        self.asked.of_query.len().max(1)
    }

    /// Mean time to compile the filters of some queries, in microseconds.
    pub(crate) fn compile_us(&self) -> Result<f64, CompileError> {
        let count = COMPILED_MAX.min(self.count());
        let begun = Instant::now();
        (0..count).try_for_each(|query| self.compile(query).map(drop))?;
        Ok(begun.elapsed().as_secs_f64() * 1e6 / count as f64) // CAST: a mean
    }

    /// How the vectors that match are searched, if that was asked.
    pub(crate) fn plan(&self) -> Option<FilterPlan> {
        self.asked.plan
    }

    /// The parts of a query's filter, from the whole to the conditions that it is made of, and how many vectors match each.
    /// Conditions after the first [`PARTS_MAX`] are left out.
    ///
    /// # Errors
    /// [`CompileError`], and of filters that do not bind.
    pub(crate) fn parts(&self, query: usize) -> anyhow::Result<Vec<FilterPart>> {
        let mut parts = Vec::new();
        if let Some(filter) = self.asked.written(query) {
            self.add_parts(filter, 0, &mut parts)?;
        }
        Ok(parts)
    }

    fn add_parts(&self, filter: &Filter, depth: usize, parts: &mut Vec<FilterPart>) -> anyhow::Result<()> {
        if parts.len() == PARTS_MAX {
            return Ok(());
        }
        let matches = compile(self.index, &filter.bind(self.index.schema())?, self.limits())?.count();
        let (text, inner): (String, &[Filter]) = match filter {
            Filter::And(inner) => ("and".to_owned(), inner),
            Filter::Or(inner) => ("or".to_owned(), inner),
            Filter::Not(inner) => ("not".to_owned(), std::slice::from_ref(&**inner)),
            condition => (shortened(condition.to_string()), &[]),
        };
        parts.push(FilterPart { depth, text, matches });
        inner.iter().try_for_each(|filter| self.add_parts(filter, depth + 1, parts))
    }

    /// Whether all queries have one filter.
    pub(crate) fn is_one(&self) -> bool {
        self.asked.is_one()
    }
}
