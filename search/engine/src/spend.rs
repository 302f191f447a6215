//! What a search of lists spends: by the recall that a query asks for, or as it names it, and less of it under load.
use spandrel_index::format::VectorsOf;
use spandrel_index::{Index, Matches};
use xxhash_rust::xxh3::xxh3_64;

use crate::costs::ListSearch;
use crate::filter_plan::PlanCosts;
use crate::params::{EPSILON_LISTS_MAX, Rerank, SearchParams};
use crate::pruning::{Aim, Pruning, RECALL_DEFAULT};
use crate::subject::Query;
use crate::together::Together;

/// Which lists are searched.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct ProbePlan {
    /// Pruning by distance, if any.
    pub(crate) epsilon: Option<f32>,
    /// Lists searched at most where they hold enough vectors, no more than there are.
    pub(crate) lists: u32,
    /// Share of the queries that search the last of these too.
    pub(crate) last: f64,
    /// Lists chosen beyond these under a filter, since the search ends when it has found enough: none where the lists before hold
    /// fewer matches than expected.
    pub(crate) beyond: u32,
    /// Lists that hold the matches of a filter, where these lie together: no others are looked at.
    pub(crate) together: Option<u32>,
}

impl ProbePlan {
    /// As a query names it.
    fn named(params: &SearchParams, index: &Index, effort: f64) -> ProbePlan {
        let by_score = params.epsilon.is_none() && params.min_head_score.is_some();
        let lists_max = if by_score { u32::MAX } else { EPSILON_LISTS_MAX };
        let lists = params.max_lists.unwrap_or(lists_max).min(index.found_lists());
        // Of those there are: a share of more than all would be all.
        let lists = (f64::from(lists) * effort).ceil().max(1.0) as u32; // CAST: effort is at most 1, so at most `lists`
        ProbePlan {
            epsilon: params.epsilon,
            lists: lists.min(index.found_lists()),
            last: 1.0,
            beyond: 0,
            together: None,
        }
    }

    /// For one query. Its bytes decide whether it searches the last list, so that it always has the same answer.
    pub(crate) fn of_query(self, query: &Query<'_>) -> ProbePlan {
        if self.last >= 1.0 {
            return self;
        }
        let place = xxh3_64(query.exact.row) as f64 / u64::MAX as f64; // CAST: a share
        let lists = if place < self.last { self.lists } else { self.lists - 1 };
        ProbePlan { lists, last: 1.0, ..self }
    }

    /// Largest squared distance of a head whose list is searched, when the nearest head is this far.
    pub(crate) fn head_bound(&self, nearest: f32) -> f32 {
        match self.epsilon {
            // CAST: back to the precision of the distances compared with it.
            Some(epsilon) => (f64::from(nearest) * (1.0 + f64::from(epsilon)).powi(2)) as f32,
            None => f32::INFINITY,
        }
    }
}

/// What a search of lists spends.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spend {
    pub(crate) pruning: Pruning,
    pub(crate) probe: ProbePlan,
    /// Vectors compared exactly after codes were scanned, to be expected.
    pub(crate) compared: f64,
    /// By which vectors they are.
    pub(crate) compare_by: VectorsOf,
    /// The lists of the matches, where these lie together.
    pub(crate) together: Option<Together>,
    /// What it aims at; none where the query names its own pruning.
    pub(crate) aim: Option<Aim>,
}

impl Spend {
    pub(crate) fn lists(&self) -> ListSearch {
        let &Spend { compared, compare_by, together, .. } = self;
        ListSearch { lists: self.probe.lists, compared, compare_by, together }
    }
}

/// What a query demands of an index.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Demand<'a> {
    pub(crate) params: &'a SearchParams,
    pub(crate) index: &'a Index,
    /// Neighbours, no more than there are vectors that may be answers.
    pub(crate) k: usize,
    /// The vectors that may be answers over all, where some may not, or over those among which they lie together.
    pub(crate) share: Option<f64>,
    /// Their lists, where they lie together.
    pub(crate) together: Option<Together>,
    /// Recall; none where the query names its own pruning.
    pub(crate) target: Option<f64>,
    /// Lists searched at most, no more than there are.
    pub(crate) lists_max: u32,
}

impl Demand<'_> {
    /// With this share of the work that it takes.
    pub(crate) fn spend(&self, effort: f64) -> Spend {
        let Demand { params, index, k, share, together, target, lists_max } = *self;
        let aim = match target {
            Some(recall) => Aim { recall: 1.0 - (1.0 - recall) / params.misses, effort, lists_max },
            None => Aim::at(RECALL_DEFAULT),
        };
        let pruning = match (together, share) {
            (Some(together), _) => together.pruning(index, k, aim),
            (None, Some(share)) => Pruning::among(index, k, share, aim),
            (None, None) => Pruning::of(index, k, aim),
        };
        let probe = match target {
            Some(_) => {
                let Pruning { epsilon, max_lists: lists, last, .. } = pruning;
                ProbePlan { epsilon, lists, last, beyond: 0, together: None }
            }
            None => ProbePlan::named(params, index, effort),
        };
        let all = together.map(|together| together.lists);
        let probe = ProbePlan { lists: probe.lists.min(all.unwrap_or(u32::MAX)), together: all, ..probe };
        let compared = match params.rerank {
            Some(Rerank::Count(count)) => k.max(count as usize) as f64, // CAST: below 2^53
            _ => pruning.reranked,
        };
        let compare_by = params.compare_by;
        Spend { pruning, probe, compared, compare_by, together, aim: target.map(|_| aim) }
    }

    /// Among vectors that match a filter, with the query's effort.
    ///
    /// The effort is a share of what the cheapest way of searching these takes. Where that way is not to search lists, fewer lists
    /// are left.
    pub(crate) fn spend_among(&self, matches: &Matches) -> Spend {
        let effort = f64::from(self.params.effort);
        let whole = self.spend(1.0);
        if effort >= 1.0 {
            return whole;
        }
        let costs = PlanCosts::of(matches, &whole.lists(), self.index);
        self.spend(effort * (costs.least() / costs.lists).min(1.0))
    }
}
