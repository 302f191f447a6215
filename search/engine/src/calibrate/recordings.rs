//! Searches of many queries, made again by some threads.
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use rayon::ThreadPool;
use rayon::prelude::*;
use spandrel_index::Index;

use super::error::CalibrateError;
use super::replay::{Asked, Field, Outcome, Replayer};
use super::seen::Seen;

/// Queries whose searches are made before the caller is asked whether to go on, by thread.
const BATCH: usize = 256;
/// Up to this many neighbours searches are made from the same recordings.
const K_RECORDED: u32 = 100;

/// What is known of the searches of all queries.
pub(super) struct Recordings<'a> {
    index: &'a Index,
    pool: &'a ThreadPool,
    /// Those that no thread uses just now.
    replayers: Mutex<Vec<Replayer<'a>>>,
    /// Bytes kept from one setting to the next at most.
    bytes_max: usize,
    /// By the largest number of neighbours that they serve, then by query.
    seen: BTreeMap<u32, Vec<Seen>>,
}

impl<'a> Recordings<'a> {
    pub(super) fn new(index: &'a Index, pool: &'a ThreadPool, bytes_max: usize) -> Recordings<'a> {
        Recordings { index, pool, replayers: Mutex::default(), bytes_max, seen: BTreeMap::new() }
    }

    /// The largest number of neighbours that recordings for `k` serve: up to [`K_RECORDED`] all share the same.
    pub(super) const fn recorded(k: u32) -> u32 {
        if k <= K_RECORDED { K_RECORDED } else { k }
    }

    /// Makes the searches of some queries. `keep` says what is kept of each. `tell` is asked now and then whether to go on.
    pub(super) fn search(
        &mut self,
        field: Field<'_>,
        picks: &[usize],
        asked: &(dyn Fn(usize) -> Asked + Sync),
        tell: &mut dyn FnMut(u64) -> bool,
    ) -> Result<Vec<Outcome>, CalibrateError> {
        let recorded = Recordings::recorded(asked(0).plan.k() as u32); // CAST: a k that has a curve
        // Recordings for many neighbours are large, and of no use to others.
        self.seen.retain(|&k, _| k == recorded || k == K_RECORDED);
        self.seen.entry(recorded).or_default().resize_with(field.queries.len(), Seen::default);
        let room = Room { kept: AtomicUsize::new(0), max: self.bytes_max };
        self.seen.values_mut().flatten().for_each(|seen| room.keep(0, seen));
        let all = self.seen.entry(recorded).or_default();
        let mut outcomes = Vec::with_capacity(picks.len());
        for picks in picks.chunks(BATCH * self.pool.current_num_threads()) {
            if !tell(0) {
                return Err(CalibrateError::Stopped);
            }
            let mut taken: Vec<(usize, Seen)> =
                picks.iter().map(|&query| (query, std::mem::take(&mut all[query]))).collect();
            let search = |(query, seen): &mut (usize, Seen)| {
                let spare = self.replayers.lock().unwrap_or_else(PoisonError::into_inner).pop();
                let mut replayer = spare.map_or_else(|| Replayer::open(self.index), Ok)?;
                let before = seen.bytes();
                let outcome = replayer.search(field, *query, seen, &asked(*query));
                room.keep(before, seen);
                self.replayers.lock().unwrap_or_else(PoisonError::into_inner).push(replayer);
                outcome
            };
            let found: Result<Vec<Outcome>, CalibrateError> =
                self.pool.install(|| taken.par_iter_mut().map(search).collect());
            for (query, seen) in taken {
                all[query] = seen;
            }
            outcomes.extend(found?);
            if !tell(picks.len() as u64) {
                return Err(CalibrateError::Stopped);
            }
        }
        Ok(outcomes)
    }
}

/// What recordings may take, counted by all threads as they grow.
#[derive(Debug)]
struct Room {
    /// Bytes that they take.
    kept: AtomicUsize,
    max: usize,
}

impl Room {
    /// Keeps what is known of a query, which took `before` bytes, or forgets it where there is no room.
    fn keep(&self, before: usize, seen: &mut Seen) {
        let after = seen.bytes();
        self.kept.fetch_add(after, Ordering::Relaxed);
        let kept = self.kept.fetch_sub(before, Ordering::Relaxed) - before;
        if kept > self.max {
            *seen = Seen::default();
            self.kept.fetch_sub(after, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_lists(lists: usize) -> Seen {
        Seen { heads: Vec::with_capacity(lists), ..Seen::default() }
    }

    #[test]
    fn no_more_is_kept_than_there_is_room_for_at_any_time() {
        let of_one = of_lists(1).bytes();
        let room = Room { kept: AtomicUsize::new(0), max: 125 * of_one };
        let kept = || room.kept.load(Ordering::Relaxed) / of_one;
        let lists = |seen: &Seen| seen.bytes() / of_one;
        let (mut first, mut second, mut third) = (of_lists(50), of_lists(60), of_lists(90));
        room.keep(0, &mut first);
        room.keep(0, &mut second);
        assert_eq!((lists(&first), lists(&second), kept()), (50, 60, 110));
        room.keep(0, &mut third);
        assert_eq!((lists(&third), kept()), (0, 110));
        // One that grows beyond the rest of the room is forgotten, and makes room.
        let before = second.bytes();
        second = of_lists(90);
        room.keep(before, &mut second);
        assert_eq!((lists(&second), kept()), (0, 50));
        third = of_lists(70);
        room.keep(0, &mut third);
        assert_eq!((lists(&third), kept()), (70, 120));
    }
}
