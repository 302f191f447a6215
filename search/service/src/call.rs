//! A call whose request has come.
use std::time::{Duration, Instant};

use crate::ledger::Entry;

/// A call whose request has come, and when it has to be over.
#[derive(Clone, Copy)]
pub(crate) struct Call<'a> {
    pub(crate) arrival: Instant,
    pub(crate) deadline: Instant,
    pub(crate) entry: &'a Entry,
}

impl Call<'_> {
    /// A call whose request has come now.
    pub(crate) fn of(entry: &Entry) -> Call<'_> {
        let arrival = Instant::now();
        Call { arrival, deadline: entry.deadline().unwrap_or_else(|| arrival + FAR_OFF), entry }
    }
}

/// Longer than any call.
const FAR_OFF: Duration = Duration::from_secs(365 * 24 * 3600);
