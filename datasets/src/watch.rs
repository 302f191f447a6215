//! Watching and stopping long work, and walking through rows in bounded memory.
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

use spandrel_index::{SourceError, VectorSource};

/// Bytes of rows held at once while walking through a source.
const BLOCK_BYTES: usize = 4 << 20;

/// How long work tells its progress and learns that it should stop.
#[derive(Clone, Copy)]
pub struct Watch<'a> {
    /// Called now and then with the work done and the work there is, in units of the work.
    pub progress: &'a (dyn Fn(u64, u64) + Sync),
    /// Set to true to end the work early, with [`Stopped`].
    pub stop: &'a AtomicBool,
}

/// The stop flag was set before the work was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("stopped before the end")]
pub struct Stopped;

impl Watch<'static> {
    /// Nobody looks and nobody stops.
    pub fn none() -> Watch<'static> {
        static NEVER: AtomicBool = AtomicBool::new(false);
        Watch { progress: &|_, _| {}, stop: &NEVER }
    }
}

impl Watch<'_> {
    pub(crate) fn step(&self, done: u64, total: u64) -> Result<(), Stopped> {
        (self.progress)(done, total);
        self.check()
    }

    /// Whether to go on, where there is no progress to tell.
    pub(crate) fn check(&self) -> Result<(), Stopped> {
        if self.stop.load(Ordering::Relaxed) { Err(Stopped) } else { Ok(()) }
    }
}

impl std::fmt::Debug for Watch<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watch").field("stop", self.stop).finish_non_exhaustive()
    }
}

/// Calls `each` with blocks of rows, in order: the first row's number and the rows back to back.
pub(crate) fn for_each_block<E: From<SourceError> + From<Stopped>>(
    source: &dyn VectorSource,
    rows: Range<u64>,
    watch: Watch<'_>,
    mut each: impl FnMut(u64, &[u8]) -> Result<(), E>,
) -> Result<(), E> {
    let row_bytes = source.row_bytes();
    let block_rows = (BLOCK_BYTES / row_bytes).max(1) as u64; // CAST: usize is 64 bits here
    let total = rows.end.saturating_sub(rows.start);
    let mut block = Vec::new();
    let mut first = rows.start;
    while first < rows.end {
        watch.step(first - rows.start, total)?;
        let count = block_rows.min(rows.end - first);
        block.resize(count as usize * row_bytes, 0); // CAST: at most `block_rows`
        source.read_rows(first, &mut block)?;
        each(first, &block)?;
        first += count;
    }
    (watch.progress)(total, total);
    Ok(())
}
