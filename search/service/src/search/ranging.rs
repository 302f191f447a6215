//! A search within a radius on its way: the engine is asked for a part at a time.
use std::sync::Arc;

use spandrel_engine::{Answer, Neighbour, RangeSearch};

use super::handed::Handed;
use crate::ask::EndOfRange;
use crate::call::Call;
use crate::filters::Compiled;
use crate::refusal::Refusal;
use crate::served::Served;
use crate::stopping::StopFlag;

/// A search within a radius. Between its parts it holds no search thread. Dropped early, it is given up.
pub(crate) struct Ranging {
    pub(super) served: Arc<Served>,
    pub(super) search: RangeSearch,
    pub(super) completeness: f32,
    pub(super) filter: Option<Arc<Compiled>>,
    /// The flag that the search looks at.
    pub(super) _waiting: StopFlag,
}

impl Ranging {
    /// Results that are held until the end, at most: the best, where their number is bounded.
    pub(crate) fn held_max(&self) -> usize {
        self.search.held_max()
    }

    /// Bytes of the numbers of lists that it holds to its end; none before its first part.
    pub(crate) fn list_bytes(&self) -> usize {
        self.search.list_bytes()
    }

    /// Searches the next part: the vectors to be handed out; none once all parts were searched.
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<Neighbour>>, Refusal> {
        if self.search.is_over() {
            return Ok(None);
        }
        let part = Handed::part(&self.served, &self.search, self.filter.clone())?.answer().await?;
        Ok(Some(self.search.take(part)))
    }

    /// What its parts took and miss so far, without neighbours.
    pub(super) fn answer(&self) -> &Answer {
        &self.search.summary().answer
    }

    /// What is to be said at the end.
    pub(crate) fn end(&self, call: Call<'_>) -> EndOfRange {
        let summary = self.search.summary();
        let answer = summary.answer.clone();
        let matches = self.filter.as_ref().map(|filter| filter.matches.count());
        self.served.metrics.answered(std::slice::from_ref(&answer), call.arrival);
        if answer.missing.parts() > 0 {
            self.served.log_damage();
        }
        EndOfRange {
            results: summary.results,
            answer,
            matches,
            completeness: self.completeness,
            version: self.served.version(),
            versions: Vec::new(),
            unlike: 0,
            vectors: self.served.index().vectors(),
            arrival: call.arrival,
        }
    }
}
