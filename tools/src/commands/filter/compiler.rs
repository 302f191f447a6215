//! Filters, compiled for the index that is searched.
use std::collections::HashMap;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use spandrel_engine::FilterPlan;
use spandrel_index::attributes::{CompileError, CompileLimits, FilterPart, PartsError, compile, parts};
use spandrel_index::{Index, Matches};

use super::Asked;
use crate::Session;
use crate::commands::callers;

/// Memory that compiling one filter may take.
const COMPILE_BYTES: usize = 1 << 30;
/// Memory for filters that were compiled. Those for which there is no room are compiled again for each query.
const KEPT_BYTES: usize = 1 << 30;

/// Sets of a bit for each vector that compiling takes.
const COMPILE_SETS: u64 = 4;
/// Filters that are compiled to take the time of it.
const COMPILED_MAX: usize = 1000;
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
    /// Of filters whose parts were asked for.
    parts: HashMap<usize, Vec<FilterPart>>,
}

impl<'a> Compiler<'a> {
    pub(crate) fn new(index: &'a Index, asked: Asked, stop: &'a AtomicBool) -> Compiler<'a> {
        let kept = Kept { matches: vec![None; asked.distinct.len()], bytes: 0, parts: HashMap::new() };
        Compiler { index, asked, stop, kept: Mutex::new(kept) }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        // No critical section panics half way.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The vectors that match the filter of a query.
    pub(crate) fn matches(&self, query: usize) -> Result<Arc<Matches>, CompileError> {
        let number = self.asked.number(query);
        let kept = |kept: &Kept| kept.matches.get(number).cloned().flatten();
        if let Some(matches) = kept(&self.lock()) {
            return Ok(matches);
        }
        let matches = Arc::new(self.compile(query)?);
        let mut all = self.lock();
        let bytes = all.bytes + matches.memory_bytes();
        if bytes <= KEPT_BYTES && kept(&all).is_none() {
            all.bytes = bytes;
            all.matches[number] = Some(Arc::clone(&matches));
        }
        Ok(matches)
    }

    /// The same, compiled anew.
    pub(crate) fn compile(&self, query: usize) -> Result<Matches, CompileError> {
        compile(self.index, self.asked.bound(query), self.limits())
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

    /// Memory that the filters of some queries may take, and compiling one of them, in bytes.
    pub(crate) fn memory_bytes(&self, queries: u64) -> u64 {
        let filters = queries.min(self.asked.distinct.len() as u64); // CAST: widening
        self.index.vectors().div_ceil(8).saturating_mul(filters + COMPILE_SETS)
    }

    /// How the vectors that match are searched, if that was asked.
    pub(crate) fn plan(&self) -> Option<FilterPlan> {
        self.asked.plan
    }

    /// The parts of a query's filter, and how many vectors match each. Those of each filter are compiled once.
    ///
    /// # Errors
    /// [`PartsError`].
    pub(crate) fn parts(&self, query: usize) -> Result<Vec<FilterPart>, PartsError> {
        let Some(filter) = self.asked.written(query) else { return Ok(Vec::new()) };
        let number = self.asked.number(query);
        let known = self.lock().parts.get(&number).cloned();
        if let Some(parts) = known {
            return Ok(parts);
        }
        let parts = parts(self.index, filter, self.limits())?;
        self.lock().parts.insert(number, parts.clone());
        Ok(parts)
    }

    pub(in crate::commands) fn asked(&self) -> &Asked {
        &self.asked
    }

    /// Whether all queries have one filter.
    pub(crate) fn is_one(&self) -> bool {
        self.asked.is_one()
    }
}
