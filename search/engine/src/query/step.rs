//! What the states of a query work with.
use spandrel_index::Location;
use spandrel_index::format::Record;

use crate::collect::Collect;
use crate::damage::DamageLog;
use crate::explain::Exact;
use crate::filter_plan::FilterPlan;
use crate::job::Running;
use crate::paging::PageCache;
use crate::plan::QueryPlan;
use crate::probe::Prober;
use crate::progress::Progress;
use crate::reads::Outbox;
use crate::rerank::Reranker;
use crate::scan::{Scan, Sink};
use crate::subject::Query;

/// One query with the worker's tools, for as long as the query goes on without waiting.
pub(super) struct Step<'a> {
    pub(super) plan: &'a QueryPlan,
    pub(super) running: &'a Running,
    pub(super) query: Query<'a>,
    pub(super) prober: &'a mut Prober,
    pub(super) scan: &'a mut dyn Scan,
    pub(super) reranker: &'a Reranker,
    pub(super) damage: &'a DamageLog,
    pub(super) cache: Option<&'a PageCache>,
    pub(super) found: &'a mut dyn Collect,
    pub(super) progress: &'a mut Progress,
    pub(super) out: Outbox<'a>,
}

impl Step<'_> {
    /// Whether the query is no longer wanted.
    pub(super) fn is_over(&mut self) -> bool {
        self.progress.end = self.progress.end.or_else(|| self.found.end()).or_else(|| self.running.job.end());
        self.progress.end.is_some()
    }

    /// How the vectors that match the query's filter are searched, as far as is known.
    pub(super) fn filter_plan(&self) -> Option<FilterPlan> {
        self.progress.filtered.map(|filtered| filtered.plan)
    }

    /// Compares a vector, and offers it by its exact score.
    pub(super) fn compare(&mut self, location: Location, record: Record<'_>) {
        let score = self.reranker.score(record, self.query.compared);
        self.found.exact(score, record.id);
        if let Some(explanation) = &mut self.progress.explanation {
            // Adding zero turns a minus zero into zero, as answers show it.
            let distance = self.query.shape().metric.distance_of_score(score) + 0.0;
            explanation.compared(location, Exact { id: record.id, distance });
        }
    }

    /// The scan, and where what it finds goes.
    pub(super) fn scan(&mut self) -> (&mut dyn Scan, Sink<'_>) {
        // Of filters that depend on the query, nothing was learned.
        let stop = self.plan.stop.rule.as_ref().filter(|_| !self.progress.is_sparse);
        (self.scan, Sink { found: self.found, progress: self.progress, stop, is_beside: false })
    }
}
