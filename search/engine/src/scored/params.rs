//! How far a scorer is asked.
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use super::error::ScoreError;
use super::scorer::ScoredItem;

/// How far a scorer is asked.
#[derive(Debug, Clone)]
pub struct ScoredParams {
    /// Items wanted, 1 or more.
    pub k: usize,
    /// Items that are scored at most, those that were scored before (`known`) among them: at least `k`.
    pub budget: usize,
    /// Items that the scorer is given at once, at most: 1 or more.
    pub batch: usize,
    /// What the caller has scored already, as anchor items: each once, with a finite score. The scorer is not asked for these again. Without a
    /// filter all of them may be answers, with one those that the search finds.
    pub known: Vec<ScoredItem>,
    /// Whether candidates were searched with a filter: for [`score_answer`](crate::score_answer), since an answer of several indexes need
    /// not tell. [`Engine::search_scored`](crate::Engine::search_scored) knows by its own parameters.
    pub is_filtered: bool,
    /// When to give up: looked at before each batch.
    pub deadline: Option<Instant>,
    /// Set to true to give up: looked at before each batch.
    pub stop: Option<Arc<AtomicBool>>,
}

impl ScoredParams {
    /// Nothing known, no filter, batches of 64, no deadline.
    pub const fn new(k: usize, budget: usize) -> ScoredParams {
        ScoredParams {
            k,
            budget,
            batch: 64,
            known: Vec::new(),
            is_filtered: false,
            deadline: None,
            stop: None,
        }
    }

    /// Checks what was given.
    ///
    /// # Errors
    /// [`ScoreError`].
    pub fn check(&self) -> Result<(), ScoreError> {
        if self.k == 0 {
            return Err(ScoreError::ZeroK);
        }
        if self.batch == 0 {
            return Err(ScoreError::ZeroBatch);
        }
        if self.budget < self.k || self.budget < self.known.len() {
            let (found, k, known) = (self.budget, self.k, self.known.len());
            return Err(ScoreError::Budget { found, k, known });
        }
        if let Some(&ScoredItem { id, score }) = self.known.iter().find(|known| !known.score.is_finite()) {
            return Err(ScoreError::NotFinite { id, score });
        }
        let mut ids: Vec<u64> = self.known.iter().map(|known| known.id).collect();
        ids.sort_unstable();
        match ids.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(ScoreError::KnownTwice { id: pair[0] }),
            None => Ok(()),
        }
    }

    /// Whether to go on, with this number of items scored.
    pub(super) fn check_time(&self, scored: usize) -> Result<(), ScoreError> {
        if self.stop.as_ref().is_some_and(|stop| stop.load(Ordering::Relaxed)) {
            return Err(ScoreError::Stopped { scored });
        }
        if self.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            return Err(ScoreError::Deadline { scored });
        }
        Ok(())
    }
}
