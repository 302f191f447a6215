//! The ways of searching among the vectors that match a filter.
use spandrel_names::named;

/// How the vectors that match a filter are searched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FilterPlan {
    /// Every vector that matches is compared exactly; no list is searched.
    Exact,
    /// The codes of the matches alone are compared, wherever they lie, and then vectors as usual. Codes must be in memory.
    Codes,
    /// The nearest lists are searched, more of them the fewer vectors match; blocks of codes without a match are skipped.
    Lists,
    /// The nearest lists are searched whole; what does not match is left out before it becomes a candidate.
    Post,
}

named! { FilterPlan, "filter plan", Exact => "exact", Codes => "codes", Lists => "lists", Post => "post" }

impl FilterPlan {
    /// Whether lists are searched.
    pub(crate) fn has_lists(self) -> bool {
        matches!(self, FilterPlan::Lists | FilterPlan::Post)
    }
}

/// How a query among the vectors that match a filter was answered.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Filtered {
    /// Vectors of the index that match.
    pub matches: u64,
    /// How they were searched.
    pub plan: FilterPlan,
    /// Whether more lists were searched than for filters that are independent of the query, since the nearest lists held fewer
    /// of the matches than for these.
    pub widened: bool,
}

/// What each plan is expected to cost, in codes scanned in memory one after the other.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PlanCosts {
    /// [`FilterPlan::Exact`].
    pub exact: f64,
    /// [`FilterPlan::Codes`]; none where codes are not in memory.
    pub codes: Option<f64>,
    /// [`FilterPlan::Lists`] or [`FilterPlan::Post`].
    pub lists: f64,
}

/// Why a plan was chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlanReason {
    /// The query names it.
    Asked,
    /// A recall of 1 is asked for, with full effort.
    Exact,
    /// Every vector matches.
    All,
    /// No more documents match than are compared.
    Few,
    /// It is expected to cost least.
    Cost,
    /// The matches are few and lie together in lists that small values of a partition share, which are not ordered by nearness: all
    /// are compared, also where another plan is expected to cost less.
    Small,
    /// The nearest lists hold fewer than half of the matches that they would hold of an independent filter.
    Sparse,
}

impl PlanReason {
    /// The rest of a sentence that begins with "chosen".
    pub const fn words(self) -> &'static str {
        match self {
            PlanReason::Asked => "by the query",
            PlanReason::Exact => "since a recall of 1 is asked for",
            PlanReason::All => "since every vector matches",
            PlanReason::Few => "since no more documents match than are compared",
            PlanReason::Cost => "by cost",
            PlanReason::Small => "since a small value shares its lists with others, whatever that costs",
            PlanReason::Sparse => "since the nearest lists hold few of the matches",
        }
    }

    /// In one word.
    pub const fn name(self) -> &'static str {
        match self {
            PlanReason::Asked => "asked",
            PlanReason::Exact => "exact",
            PlanReason::All => "all",
            PlanReason::Few => "few",
            PlanReason::Cost => "cost",
            PlanReason::Small => "small",
            PlanReason::Sparse => "sparse",
        }
    }
}

/// How the plan of a query was chosen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ExplainedFilter {
    /// The plan that was followed.
    pub plan: FilterPlan,
    /// Which rule chose the plan.
    pub reason: PlanReason,
    /// What each was expected to cost.
    pub costs: PlanCosts,
}
