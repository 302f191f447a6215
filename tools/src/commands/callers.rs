//! Queries that are answered one by one, some of them at the same time.
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use anyhow::Result;
use spandrel_engine::SearchError;

/// The answers to `count` queries, in their order; `one` gives that of a query, and `callers` of them are asked for at the same
/// time.
///
/// # Errors
/// That of the first query that has none; a query that is refused is named by its number.
pub(super) fn answers<T: Send>(
    count: usize,
    callers: usize,
    one: impl Fn(usize) -> Result<T> + Sync,
) -> Result<Vec<T>> {
    let next = AtomicUsize::new(0);
    let call = || {
        let mut found = Vec::new();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= count {
                return found;
            }
            let answer = one(number);
            if answer.is_err() {
                next.store(count, Ordering::Relaxed);
            }
            found.push((number, answer));
        }
    };
    let closed = |_| vec![(0, Err(SearchError::Closed.into()))];
    let mut all: Vec<(usize, Result<T>)> = thread::scope(|scope| {
        let threads: Vec<_> = (0..callers.min(count)).map(|_| scope.spawn(call)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap_or_else(closed)).collect()
    });
    all.sort_unstable_by_key(|(number, _)| *number);
    let numbered = |(number, answer): (usize, Result<T>)| {
        answer.map_err(|error| match error.downcast() {
            Ok(SearchError::Query(bad)) => SearchError::Query(bad.after(number)).into(),
            Ok(other) => other.into(),
            Err(other) => other,
        })
    };
    all.into_iter().map(numbered).collect()
}
