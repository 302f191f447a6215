//! Why the plan of a filter by the value of a partition was chosen.
use spandrel_engine::{FilterPlan, PlanReason, SearchParams};
use spandrel_index::{OpenOptions, VectorSource as _};

use super::{DIM, K, base, codes, generated, matches, open, values_of};

/// A small value is compared whole whatever that costs, which was told as chosen by cost.
#[test]
fn a_plan_that_costs_more_is_not_said_to_be_chosen_by_cost() {
    let (base, dir) = (base(400), tempfile::tempdir().unwrap());
    base.build(&codes(dir.path())).unwrap();
    let engine = open(dir.path(), OpenOptions::default());
    let queries = generated(base.rows.len()).1;
    let mut told = Vec::new();
    for (cell, filter, count) in values_of(&base, 0) {
        let filter = Some(matches(engine.index(), &filter));
        let params = SearchParams { filter, recall: Some(0.95), explain: true, ..SearchParams::new(K) };
        let answers = engine.search(&queries.bytes()[..DIM], &params).unwrap();
        let of = answers[0].explanation.as_ref().unwrap().filter.unwrap();
        let others = of.costs.codes.map_or(of.costs.lists, |codes| codes.min(of.costs.lists));
        let reason = match of.plan {
            FilterPlan::Exact if of.costs.exact > others => PlanReason::Small,
            _ => PlanReason::Cost,
        };
        assert_eq!(of.reason, reason, "{cell:?} of {count}: {of:?}");
        // None is told one by one, and all of them are counted.
        if of.plan == FilterPlan::Exact {
            assert_eq!(answers[0].work.reranked as usize, count, "{cell:?}");
        }
        told.push(of.reason);
    }
    assert!(told.contains(&PlanReason::Small) && told.contains(&PlanReason::Cost), "{told:?}");
}
