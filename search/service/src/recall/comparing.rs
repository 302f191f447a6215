//! What is kept and known of one version of an index.
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use spandrel_engine::{ExactSearch, RECALL_DEFAULT, SearchError, SearchParams};
use tokio::sync::oneshot;

use super::kept::{Kept, Reservoir};
use super::tally::Tally;

/// What is kept and known of one version of an index.
pub(crate) struct Recall {
    pub(crate) reservoir: Reservoir,
    pub(crate) tally: Tally,
    /// Whether queries aim higher while their recall would fall under its target.
    pub(super) corrects: bool,
    /// Kept queries on their way through the vectors.
    comparing: Mutex<Option<Comparing>>,
}

impl Recall {
    pub(crate) fn new(corrects: bool) -> Recall {
        Recall {
            reservoir: Reservoir::default(),
            tally: Tally::default(),
            corrects,
            comparing: Mutex::default(),
        }
    }

    /// What queries of a caller that ask for this are taken to miss, divided by what those miss that the index was calibrated with.
    pub(crate) fn misses(&self, caller: &str, params: &SearchParams) -> f64 {
        let names_pruning = params.epsilon.is_some() || params.max_lists.is_some();
        match self.corrects && !names_pruning && params.filter.is_none() {
            true => self.tally.misses(caller, params.k, params.recall.unwrap_or(RECALL_DEFAULT)),
            false => 1.0,
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Option<Comparing>> {
        // Put in and taken out whole.
        self.comparing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Kept queries on their way through the vectors.
pub(super) struct Comparing {
    pub(super) kept: Vec<Kept>,
    pub(super) search: Arc<ExactSearch>,
    /// The piece that is next, or under way.
    pub(super) piece: usize,
    pub(super) under_way: Option<oneshot::Receiver<Result<f32, SearchError>>>,
}
