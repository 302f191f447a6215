//! Whether the lists planned for hold enough of the vectors that match a filter.
use crate::plan::QueryPlan;
use crate::spend::ProbePlan;
use crate::subject::Query;

/// Lists that hold at least this share of the matches that they would hold of a filter that is independent of the query are
/// enough. Fewer are likely by chance alone where few are expected; to search more lists is cheap then.
const ENOUGH: f64 = 0.8;
/// Lists hold few matches that hold less than this share.
const SPARSE: f64 = 0.5;
/// More lists are then searched until they hold this many times those matches, and between the two shares fewer times.
const RELEVANT: f64 = 6.0;

/// What says whether the lists planned for hold enough matches of a filter.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Guard {
    /// Vectors wanted of lists that are found by their heads.
    pub(crate) k: u64,
    /// Vectors in these that match.
    matches: u64,
    /// Share of all vectors that match, where fewer near the query count.
    pub(crate) share: Option<f64>,
    /// Whether lists may be given up where they hold few.
    may_give_up: bool,
}

/// What lists are searched for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted {
    /// Vectors that may be answers.
    pub(crate) vectors: u64,
    /// Whether the lists planned for hold fewer than half of what is expected.
    pub(crate) is_far: bool,
    /// Whether no list is searched.
    pub(crate) is_none: bool,
}

impl Guard {
    /// Where `shared` vectors that may be answers are in lists that are searched in any case.
    ///
    /// Nothing is asked where more lists are searched than the plan says: what they hold is known.
    pub(crate) fn of(plan: &QueryPlan, probe: &ProbePlan, query: &Query<'_>, shared: u64) -> Guard {
        let filtered = plan.filtered.filter(|of| of.plan.has_lists() && probe.lists == plan.probe.lists);
        let (matches, all) = (filtered.map(|filtered| filtered.matches), query.index.found_vectors());
        let own = matches.map(|matches| matches.saturating_sub(shared));
        let share = filtered.map(|filtered| match plan.probe.together {
            Some(_) => filtered.share,
            None => own.unwrap_or_default() as f64 / all.max(1) as f64, // CAST: a ratio
        });
        Guard {
            k: (plan.k() as u64).saturating_sub(shared), // CAST: widening
            matches: own.unwrap_or(u64::MAX),
            share,
            may_give_up: filtered.is_some_and(|filtered| filtered.may_change),
        }
    }

    /// How many vectors that may be answers are wanted, where `found` of the `passed` vectors of the lists planned for match.
    pub(crate) fn wanted(&self, found: u64, passed: u64) -> Wanted {
        let expected = self.share.map_or(0.0, |share| share * passed as f64); // CAST: below 2^53, here and below
        let found = found as f64 / expected;
        // Also where nothing is expected.
        if found.is_nan() || found >= ENOUGH {
            return Wanted { vectors: self.k, is_far: false, is_none: false };
        }
        if found < SPARSE && self.may_give_up {
            return Wanted { vectors: 0, is_far: true, is_none: true };
        }
        let lacking = ((ENOUGH - found) / (ENOUGH - SPARSE)).min(1.0);
        let times = 1.0 + lacking * (RELEVANT - 1.0);
        let vectors = self.k.max((times * expected).ceil() as u64).min(self.matches);
        Wanted { vectors, is_far: found < SPARSE, is_none: false }
    }
}
