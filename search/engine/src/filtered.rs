//! How a search among some of the vectors is done, and what it costs to do it otherwise.
use spandrel_index::codes::CodeSpec;
use spandrel_index::{Index, Matches};

use crate::costs::lists_are_masked;
use crate::filter_plan::{ExplainedFilter, FilterPlan, Filtered, PlanCosts, PlanReason};
use crate::params::{ParamsError, SearchParams};
use crate::pruning::Aim;
use crate::spend::Spend;

/// A query whose nearest lists hold few matches compares the codes of all instead of searching more lists, where these are
/// expected to cost up to this many times the lists that an independent filter takes.
const CHANGE_COSTS: f64 = 8.0;

impl PlanCosts {
    /// Whether the codes of all matches may be compared where the nearest lists hold few of them.
    pub(crate) fn may_change(&self) -> bool {
        self.codes.is_some_and(|codes| codes <= CHANGE_COSTS * self.lists)
    }
}

/// How queries with one filter are answered from an index.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct FilteredPlan {
    pub(crate) plan: FilterPlan,
    pub(crate) reason: PlanReason,
    pub(crate) matches: u64,
    /// Those over all vectors, or over those of the runs where they lie together.
    pub(crate) share: f64,
    pub(crate) costs: PlanCosts,
    /// Whether a query whose nearest lists hold few matches compares the codes of all.
    pub(crate) may_change: bool,
    /// What is aimed at, where lists are searched whole and more of them if fewer vectors near the query match.
    pub(crate) aim: Option<Aim>,
}

impl FilteredPlan {
    /// Chooses, where a search of lists spends `spend`.
    ///
    /// # Errors
    /// [`ParamsError`] where the query names a plan that the index cannot carry out.
    pub(crate) fn of(
        params: &SearchParams,
        matches: &Matches,
        spend: &Spend,
        index: &Index,
    ) -> Result<FilteredPlan, ParamsError> {
        let of_all = matches.count() as f64 / index.vectors().max(1) as f64; // CAST: a ratio
        let share = spend.together.map_or(of_all, |together| together.share);
        let costs = PlanCosts::of(matches, &spend.lists(), index);
        let others = costs.codes.map_or(costs.lists, |codes| codes.min(costs.lists));
        // Under load even such a query is given less.
        let is_exact = params.recall == Some(1.0) && params.effort >= 1.0;
        let (plan, reason) = match params.filter_plan {
            Some(FilterPlan::Codes) if costs.codes.is_none() => return Err(ParamsError::CodesPlan),
            Some(plan) => (plan, PlanReason::Asked),
            None if is_exact => (FilterPlan::Exact, PlanReason::Exact),
            None if matches.count() == index.vectors() => (FilterPlan::Post, PlanReason::All),
            None if costs.exact <= others => (FilterPlan::Exact, PlanReason::Cost),
            // The nearest of lists that are not ordered by nearness are no better than others.
            None if spend.together.is_some_and(|together| together.is_small) => {
                (FilterPlan::Exact, PlanReason::Small)
            }
            None if others < costs.lists => (FilterPlan::Codes, PlanReason::Cost),
            None if lists_are_masked(share, index) => (FilterPlan::Lists, PlanReason::Cost),
            None => (FilterPlan::Post, PlanReason::Cost),
        };
        // A number of lists that was given bounds what is spent.
        let may_change = reason == PlanReason::Cost && params.max_lists.is_none() && costs.may_change();
        let is_watched = plan == FilterPlan::Post && share < 1.0 && spend.together.is_none();
        let aim = spend.aim.filter(|_| is_watched && index.code() != CodeSpec::Full);
        Ok(FilteredPlan { plan, reason, matches: matches.count(), share, costs, may_change, aim })
    }

    /// As answers tell it, before a query is begun.
    pub(crate) fn filtered(self) -> Filtered {
        Filtered { matches: self.matches, plan: self.plan, widened: false }
    }

    pub(crate) fn explained(self) -> ExplainedFilter {
        ExplainedFilter { plan: self.plan, reason: self.reason, costs: self.costs }
    }
}
