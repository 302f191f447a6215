//! The parts of a filter, counted where answers are explained.
use std::sync::Arc;
use std::time::Instant;

use spandrel_index::Index;
use spandrel_index::attributes::{CompileLimits, PartsError, parts};

use super::{Filters, blocking, memory_bytes, place, refusal};
use crate::ask::{FilterTold, Written};
use crate::refusal::Refusal;

impl Filters {
    /// What is told of a filter that was compiled, by the deadline. Its parts are compiled one after the other, as a filter is.
    pub(super) async fn told(
        &self,
        field: &'static str,
        written: Written,
        index: &Arc<Index>,
        deadline: Instant,
    ) -> Result<FilterTold, Refusal> {
        let Written { text, filter } = written;
        let memory_bytes = memory_bytes(index);
        let place = place(&self.shared.telling, deadline).await?;
        let taken = self.take(memory_bytes)?;
        let index = Arc::clone(index);
        let counting = blocking(place, deadline, move |stop| {
            let _taken = taken;
            let limits = CompileLimits { memory_bytes, deadline: Some(deadline), stop };
            parts(&index, &filter, limits).map_err(|error| match error {
                PartsError::Compile(error) => refusal(field, error),
                error => Refusal::field(field, error.to_string()),
            })
        });
        Ok(FilterTold { text, parts: counting.await? })
    }
}
