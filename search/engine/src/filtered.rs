//! How a search among some of the vectors is done, and what it costs to do it otherwise.
use spandrel_index::codes::CodeSpec;
use spandrel_index::format::PageLayout;
use spandrel_index::kernels::scan::BLOCK_VECTORS;
use spandrel_index::{Index, Matches, Tier};

use crate::costs::{
    CODES_PER_BLOCK, CODES_PER_HEAD, CODES_PER_LIST, CODES_PER_MATCH, CODES_PER_NEXT_BLOCK,
    CODES_PER_NEXT_HEAD, CODES_PER_NEXT_PAGE, CODES_PER_NEXT_VECTOR, CODES_PER_PAGE, CODES_PER_VECTOR,
};
use crate::filter_plan::{ExplainedFilter, FilterPlan, Filtered, PlanCosts, PlanReason};
use crate::params::ParamsError;
use crate::pruning::Pruning;
use crate::together::Together;

/// Where at least this share of the vectors matches, lists are searched whole: hardly a block of sixteen is without a match,
/// and to look for one takes longer than to scan it.
pub(crate) const POST_SHARE: f64 = 0.2;
/// Bytes of a page on which lists lie on SSD.
const PAGE_BYTES: f64 = 4096.0;

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
}

/// What decides.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub(crate) matches: &'a Matches,
    /// The lists of the matches, where they lie together.
    pub(crate) together: Option<Together>,
    /// The plan that the query names.
    pub(crate) plan: Option<FilterPlan>,
    /// Whether only a recall of 1 will do.
    pub(crate) is_exact: bool,
    /// What a search of lists spends.
    pub(crate) pruning: Pruning,
}

/// A query whose nearest lists hold few matches compares the codes of all instead of searching more lists, where these are
/// expected to cost up to this many times the lists that an independent filter takes.
const CHANGE_COSTS: f64 = 8.0;

impl FilteredPlan {
    /// Chooses.
    ///
    /// # Errors
    /// [`ParamsError`] where the query names a plan that the index cannot carry out.
    pub(crate) fn of(asked: Asked<'_>, index: &Index) -> Result<FilteredPlan, ParamsError> {
        let Asked { matches, together, plan, is_exact, pruning } = asked;
        let of_all = matches.count() as f64 / index.vectors().max(1) as f64; // CAST: a ratio
        let share = together.map_or(of_all, |together| together.share);
        let costs = match together {
            Some(together) => PlanCosts::together(matches, together, &pruning, index),
            None => PlanCosts::of(matches, share, &pruning, index),
        };
        let of_lists = if share >= POST_SHARE { FilterPlan::Post } else { FilterPlan::Lists };
        let others = costs.codes.map_or(costs.lists, |codes| codes.min(costs.lists));
        let (plan, reason) = match plan {
            Some(FilterPlan::Codes) if costs.codes.is_none() => return Err(ParamsError::CodesPlan),
            Some(plan) => (plan, PlanReason::Asked),
            None if is_exact => (FilterPlan::Exact, PlanReason::Exact),
            None if matches.count() == index.vectors() => (FilterPlan::Post, PlanReason::All),
            None if costs.exact <= others => (FilterPlan::Exact, PlanReason::Cost),
            None if others < costs.lists => (FilterPlan::Codes, PlanReason::Cost),
            None => (of_lists, PlanReason::Cost),
        };
        let is_affordable = |codes: f64| codes <= CHANGE_COSTS * costs.lists;
        let may_change = reason == PlanReason::Cost && costs.codes.is_some_and(is_affordable);
        Ok(FilteredPlan { plan, reason, matches: matches.count(), share, costs, may_change })
    }

    /// As answers tell it, before a query is begun.
    pub(crate) fn filtered(self) -> Filtered {
        Filtered { matches: self.matches, plan: self.plan, widened: false }
    }

    pub(crate) fn explained(self) -> ExplainedFilter {
        ExplainedFilter { plan: self.plan, reason: self.reason, costs: self.costs }
    }
}

impl PlanCosts {
    fn of(matches: &Matches, share: f64, pruning: &Pruning, index: &Index) -> PlanCosts {
        let layout = index.page_layout();
        let found = matches.count() as f64; // CAST: below 2^53, here and below
        let (exact, compared) = match index.vectors_tier() {
            Tier::Memory => (found * CODES_PER_MATCH, CODES_PER_VECTOR),
            Tier::Ssd => (found.min(pages(index, &layout)) * CODES_PER_PAGE, CODES_PER_PAGE),
        };
        let has_codes = index.code() != CodeSpec::Full;
        let reranked = if has_codes { pruning.reranked.min(found) * compared } else { 0.0 };
        let lists = f64::from(index.lists());
        let of_list = index.vectors() as f64 / lists.max(1.0);
        // A filter that is independent of where vectors lie.
        let holds_one = |vectors: f64| 1.0 - (1.0 - share).powf(vectors);
        let searched = f64::from(pruning.max_lists);
        if !has_codes || index.codes_tier() == Tier::Ssd {
            let bytes: u64 = index.segments().iter().map(|segment| segment.codes.body_bytes).sum();
            let pages = (bytes as f64 / lists.max(1.0) / PAGE_BYTES).max(1.0);
            let read = searched * holds_one(of_list) * pages;
            return PlanCosts { exact, codes: None, lists: read * CODES_PER_PAGE + reranked };
        }
        let blocks = matches.blocks() as f64;
        let gathered = blocks * CODES_PER_BLOCK + lists * holds_one(of_list) * CODES_PER_HEAD;
        let block = BLOCK_VECTORS as f64;
        // The first and the last block of a list are shared with others.
        let whole = searched * of_list;
        let masked = searched * (of_list / block + 1.0) * holds_one(block) * CODES_PER_BLOCK;
        let scanned = searched * CODES_PER_LIST + if share >= POST_SHARE { whole } else { masked };
        PlanCosts { exact, codes: Some(gathered + reranked), lists: scanned + reranked }
    }
}

impl PlanCosts {
    /// Of matches that lie together: what lies between them comes along, and heads are those of their lists.
    fn together(matches: &Matches, together: Together, pruning: &Pruning, index: &Index) -> PlanCosts {
        let Together { lists, positions, share } = together;
        let apart = PlanCosts::of(matches, share, pruning, index);
        // CAST: below 2^53, here and below
        let (found, run) = (matches.count() as f64, positions as f64);
        let of_page = index.page_layout().page_records() as f64;
        let beside = match index.vectors_tier() {
            Tier::Memory => run * CODES_PER_NEXT_VECTOR,
            Tier::Ssd => CODES_PER_PAGE + run / of_page * CODES_PER_NEXT_PAGE,
        };
        let heads = f64::from(lists) * CODES_PER_NEXT_HEAD;
        let reranked = match index.vectors_tier() {
            _ if index.code() == CodeSpec::Full => 0.0,
            Tier::Memory => pruning.reranked.min(found) * CODES_PER_VECTOR,
            Tier::Ssd => pruning.reranked.min(found) * CODES_PER_PAGE,
        };
        let beside_codes = run / BLOCK_VECTORS as f64 * CODES_PER_NEXT_BLOCK + heads + reranked;
        // No more lists are searched than hold them.
        let searched = f64::from(pruning.max_lists);
        let part = (f64::from(lists) / searched).min(1.0);
        PlanCosts {
            exact: apart.exact.min(beside),
            codes: apart.codes.map(|codes| codes.min(beside_codes)),
            lists: (apart.lists - reranked) * part + reranked + heads,
        }
    }
}

/// Pages of vectors in all segments.
fn pages(index: &Index, layout: &PageLayout) -> f64 {
    index.segments().iter().map(|segment| layout.pages(segment.count) as f64).sum() // CAST: exact
}
