//! Filters, compiled for the index that is searched.
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};

use spandrel_index::attributes::{CompileError, CompileLimits, compile};
use spandrel_index::{Index, Matches};

use super::Asked;

/// Memory that compiling one filter may take.
const COMPILE_BYTES: usize = 1 << 30;
/// Memory for filters that were compiled. Those for which there is no room are compiled again for each query.
const KEPT_BYTES: usize = 1 << 30;

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
        let limits = CompileLimits { memory_bytes: COMPILE_BYTES, deadline: None, stop: self.stop };
        compile(self.index, &self.asked.distinct[self.asked.number(query)], limits)
    }

    /// Whether all queries have one filter.
    pub(crate) fn is_one(&self) -> bool {
        self.asked.is_one()
    }
}
