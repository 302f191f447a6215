//! What is kept and known of one version of an index.
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use spandrel_engine::{ExactSearch, SearchError};
use tokio::sync::oneshot;

use super::kept::{Kept, Reservoir};
use super::tally::Tally;

/// What is kept and known of one version of an index.
#[derive(Default)]
pub(crate) struct Recall {
    pub(crate) reservoir: Reservoir,
    pub(crate) tally: Tally,
    /// Kept queries on their way through the vectors.
    comparing: Mutex<Option<Comparing>>,
}

impl Recall {
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
