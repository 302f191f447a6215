//! Queries kept with their answers, each with the same chance.
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use spandrel_engine::{Answer, Neighbour};

/// Queries kept at a time: compared together, they share the reads.
const KEPT: usize = 16;
/// Neighbours of a query that is kept, at most.
const K_MAX: usize = 1000;

/// What a query asked for that was kept.
/// A query that names its own pruning gets what it asked for, and is not kept.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Asked {
    pub(crate) k: usize,
    /// Recall.
    pub(crate) target: f64,
    /// What it was taken to miss, divided by what the index was calibrated with.
    pub(crate) misses: f64,
}

/// A query that was answered.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Kept {
    pub(crate) caller: Arc<str>,
    pub(crate) row: Vec<u8>,
    pub(crate) asked: Asked,
    /// Whether the index said that it reaches the target.
    pub(crate) is_promised: bool,
    pub(crate) neighbours: Vec<Neighbour>,
}

/// Queries that were answered, of one call.
pub(crate) struct Answered<'q> {
    /// Their rows, back to back.
    pub(crate) rows: &'q Bytes,
    pub(crate) answers: &'q [Answer],
    /// Neighbours that each asked for.
    pub(crate) k: usize,
    /// The ratio of misses that they were searched with.
    pub(crate) misses: f64,
}

/// At most [`KEPT`] of the queries answered since it was emptied, each with the same chance (Vitter's algorithm R).
#[derive(Debug, Default)]
pub(crate) struct Reservoir {
    kept: Mutex<Vec<Kept>>,
    /// Queries seen since it was emptied.
    seen: AtomicU64,
    /// State of the random numbers.
    random: AtomicU64,
}

impl Reservoir {
    /// Sees the answers to a caller's queries.
    pub(crate) fn see(&self, caller: &Arc<str>, answered: Answered<'_>) {
        let Answered { rows, answers, k, misses } = answered;
        if k > K_MAX || answers.is_empty() {
            return;
        }
        let row_bytes = rows.len() / answers.len();
        for (row, answer) in rows.chunks_exact(row_bytes).zip(answers) {
            let Some(promise) = answer.promise else { continue };
            let asked = Asked { k, target: promise.target, misses };
            let seen = self.seen.fetch_add(1, Ordering::Relaxed);
            // CAST: fewer places than queries seen
            let place = if seen < KEPT as u64 { seen } else { self.random() % (seen + 1) } as usize;
            // Most queries end here, without a lock.
            if place >= KEPT {
                continue;
            }
            let kept = Kept {
                caller: Arc::clone(caller),
                row: row.to_vec(),
                asked,
                is_promised: promise.reached(),
                neighbours: answer.neighbours.clone(),
            };
            let mut all = self.lock();
            match all.get_mut(place) {
                Some(old) => *old = kept,
                None => all.push(kept),
            }
        }
    }

    /// Empties it.
    pub(crate) fn take(&self) -> Vec<Kept> {
        let mut kept = self.lock();
        self.seen.store(0, Ordering::Relaxed);
        std::mem::take(&mut *kept)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Kept>> {
        // Whole at every step.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// SplitMix64.
    fn random(&self) -> u64 {
        const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut z = self.random.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use spandrel_engine::Promise;

    fn answer() -> Answer {
        Answer { promise: Some(Promise { target: 0.9, expected: Some(0.93) }), ..Answer::default() }
    }

    fn of<'q>(rows: &'q Bytes, answers: &'q [Answer], k: usize) -> Answered<'q> {
        Answered { rows, answers, k, misses: 1.0 }
    }

    #[test]
    fn each_query_is_kept_with_the_same_chance() {
        const SEEN: usize = 200;
        let (reservoir, one) = (Reservoir::default(), Arc::from("one"));
        let mut kept = [0_u32; SEEN];
        for _ in 0..1000 {
            for number in 0..SEEN {
                reservoir.see(&one, of(&Bytes::copy_from_slice(&[number as u8]), &[answer()], 1));
            }
            let taken = reservoir.take();
            assert_eq!(taken.len(), KEPT);
            taken.iter().for_each(|taken| kept[usize::from(taken.row[0])] += 1);
        }
        // 80 of each are to be expected, with a standard deviation of 8.6.
        assert!(kept.iter().all(|&times| (40..130).contains(&times)), "{kept:?}");
        let first: u32 = kept[..100].iter().sum();
        assert!((7600..8400).contains(&first), "{first} of 16000 are of the first half");
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let (reservoir, one) = (Reservoir::default(), Arc::from("one"));
        reservoir.see(&one, of(&Bytes::from_static(&[1, 2, 3]), &vec![answer(); 3], K_MAX + 1));
        reservoir.see(&one, of(&Bytes::new(), &[], 1));
        // With a pruning of its own.
        reservoir.see(&one, of(&Bytes::from_static(&[1]), &[Answer::default()], 1));
        assert!(reservoir.take().is_empty());
        let (rows, answers) = (Bytes::from(vec![7; 5000]), vec![answer(); 1000]);
        reservoir.see(&one, Answered { misses: 2.0, ..of(&rows, &answers, 9) });
        let (taken, asked) = (reservoir.take(), Asked { k: 9, target: 0.9, misses: 2.0 });
        assert!(
            taken.len() == KEPT
                && taken.iter().all(|kept| kept.row == [7; 5] && kept.asked == asked && kept.is_promised)
        );
    }
}
