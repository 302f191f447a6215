//! Why the plan of a filter by the value of a partition was chosen.
use spandrel_datasets::{GenerateParams, Kind, Watch, generate_rows};
use spandrel_engine::{FilterPlan, PlanReason, SearchParams};
use spandrel_filter::{Attribute, AttributeType, Cell, Schema};
use spandrel_index::{DType, OpenOptions, VectorSource as _};
use spandrel_tests::{Base, CellRows};

use super::{K, codes, matches, open, values_of};

/// Vectors of each tenant; those of the first have lists of their own.
const SIZES: [usize; 5] = [2200, 500, 3, 900, 40];

/// A small value is compared whole at any cost, which was told as chosen by cost.
#[test]
fn a_plan_that_costs_more_is_not_said_to_be_chosen_by_cost() {
    let vectors = SIZES.iter().sum::<usize>() as u64;
    // Wide, so that many pages are read for the vectors of a tenant.
    let made = GenerateParams {
        kind: Kind::Sift,
        vectors,
        queries: 1,
        dim: 512,
        dtype: DType::F32,
        seed: 3,
        threads: 2,
    };
    let (rows, queries) = generate_rows(made, Watch::none()).unwrap();
    let tenants = SIZES.iter().enumerate().flat_map(|(tenant, &size)| std::iter::repeat_n(tenant, size));
    let attribute = Attribute { name: "tenant".to_owned(), kind: AttributeType::I64 };
    let attributes = CellRows {
        schema: Schema::new(vec![attribute]).unwrap(),
        cells: tenants.map(|tenant| vec![Cell::I64(tenant as i64)]).collect(),
        resident: Vec::new(),
        partition_by: Some("tenant".into()),
    };
    let base = Base { attributes: Some(attributes), ..Base::with_ids(rows, (0..vectors).collect()) };
    let dir = tempfile::tempdir().unwrap();
    base.build(&codes(dir.path())).unwrap();
    let engine = open(dir.path(), OpenOptions::default());
    let mut told = Vec::new();
    for (cell, filter, count) in values_of(&base, 0) {
        let filter = Some(matches(engine.index(), &filter));
        let params = SearchParams { filter, recall: Some(0.95), explain: true, ..SearchParams::new(K) };
        let answers = engine.search(&queries.bytes()[..queries.row_bytes()], &params).unwrap();
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
