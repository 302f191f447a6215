//! Searches under filters find the recall that is asked for, by each plan, however filter and query are correlated.
use std::path::Path;
use std::sync::Arc;

use spandrel_benches::filters::{Cell, Group, Measured, Searched, measure, scores};
use spandrel_builder::{BuildConfig, ListCount, Silent};
use spandrel_datasets::{GenerateParams, Kind, Rows, Watch, generate_rows};
use spandrel_engine::{
    Answer, Engine, FilterPlan, Limit, ParamsError, PlanReason, Rerank, SearchError, SearchParams,
};
use spandrel_index::codes::CodeSpec;
use spandrel_index::{DType, Index, Matches, Metric, OpenOptions, Tier};
use spandrel_tests::{Base, CALIBRATOR, coded, config};
use tempfile::TempDir;

use crate::support::engine_config;

const K: usize = 10;
const TARGET: f64 = 0.95;
const SHARES: [f64; 7] = [0.9, 0.5, 0.2, 0.1, 0.05, 0.01, 0.001];

/// A calibrated index of a generated set, with its vectors and queries.
struct Set {
    dir: TempDir,
    base: Rows,
    queries: Rows,
}

impl Set {
    fn build(codes: Tier) -> Set {
        Set::build_by(|dir| coded(Metric::L2, CodeSpec::Axes { bytes: 16 }, codes, dir))
    }

    fn build_by(config: impl FnOnce(&Path) -> BuildConfig) -> Set {
        let (kind, dtype) = (Kind::Sift, DType::U8);
        let params =
            GenerateParams { kind, vectors: 12_000, queries: 500, dim: 64, dtype, seed: 3, threads: 2 };
        let (base, queries) = generate_rows(params, Watch::none()).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let config = BuildConfig { lists: ListCount::Size(40), ..config(dir.path()) };
        Base::new(base.clone()).build_watched(&config, Some(&CALIBRATOR), &Silent).unwrap();
        Set { dir, base, queries }
    }

    fn open(&self, codes: Tier, vectors: Tier) -> Engine {
        let options = OpenOptions { codes: Some(codes), vectors: Some(vectors), ids: true };
        Engine::open(Arc::new(Index::open_with(self.dir.path(), options).unwrap()), engine_config()).unwrap()
    }

    fn searched<'a>(&'a self, engine: &'a Engine) -> Searched<'a> {
        Searched { engine, base: &self.base, queries: &self.queries }
    }
}

fn params() -> SearchParams {
    SearchParams { recall: Some(TARGET), ..SearchParams::new(K) }
}

/// Fails where less than the target less 0.01 is found, or fewer vectors than there are.
#[track_caller]
fn keeps(found: &Measured, what: &str) {
    let (recall, error) = found.recall();
    println!("{what}: {recall:.4} +- {error:.4}, {:?}, {} widened", found.plans, found.widened);
    assert!(recall >= TARGET - 0.01 - 3.0 * error, "{what}: {recall} +- {error}, {:?}", found.plans);
    assert_eq!(found.short, 0, "{what}: fewer are returned than match");
}

#[test]
fn the_recall_asked_for_is_found_at_every_share_and_correlation() {
    for (codes, vectors) in [(Tier::Memory, Tier::Memory), (Tier::Ssd, Tier::Ssd)] {
        let set = Set::build(codes);
        let engine = set.open(codes, vectors);
        let searched = set.searched(&engine);
        for share in SHARES {
            for correlation in [-1, 0, 1] {
                let groups = Cell { share, correlation }.groups(searched, 5);
                let what = format!("codes {codes}, share {share}, correlation {correlation}");
                keeps(&measure(searched, &groups, &params()).unwrap(), &what);
            }
        }
    }
}

/// Copies of exact vectors count as much under a filter as without one.
#[test]
fn lists_of_exact_vectors_find_it_by_their_copies() {
    let set = Set::build_by(|dir| config(Metric::L2, dir));
    let engine = set.open(Tier::Ssd, Tier::Ssd);
    let searched = set.searched(&engine);
    for (share, correlation) in [(0.9, 0), (0.5, 0), (0.5, -1), (0.1, 0), (0.1, -1), (0.1, 1)] {
        let groups = Cell { share, correlation }.groups(searched, 5);
        for plan in [FilterPlan::Lists, FilterPlan::Post] {
            let params = SearchParams { filter_plan: Some(plan), ..params() };
            let found = measure(searched, &groups, &params).unwrap();
            keeps(&found, &format!("share {share}, correlation {correlation}, {plan}"));
            let group = &groups[0];
            let params = SearchParams { filter: Some(group.matches(engine.index())), ..params };
            let answers = engine.search(set.queries.row(group.queries()[0]), &params).unwrap();
            let promise = answers[0].promise.unwrap();
            assert!(correlation != 0 || promise.reached(), "{share}: {promise:?}");
        }
    }
}

#[test]
fn every_plan_finds_it_of_independent_labels() {
    let set = Set::build(Tier::Memory);
    let engine = set.open(Tier::Memory, Tier::Memory);
    let searched = set.searched(&engine);
    for share in [0.5, 0.05, 0.01] {
        let groups = Cell { share, correlation: 0 }.groups(searched, 5);
        for plan in FilterPlan::ALL {
            let params = SearchParams { filter_plan: Some(plan), ..params() };
            let found = measure(searched, &groups, &params).unwrap();
            assert_eq!(found.plans.keys().collect::<Vec<_>>(), [&plan]);
            keeps(&found, &format!("share {share}, {plan}"));
            assert!(plan != FilterPlan::Exact || found.recall().0 == 1.0);
        }
    }
}

/// Two labels are on a half and a tenth of the vectors, one within the other. A tenth has both; the product of the shares says a
/// twentieth.
#[test]
fn matches_of_labels_that_go_together_are_counted() {
    let set = Set::build(Tier::Memory);
    let engine = set.open(Tier::Memory, Tier::Ssd);
    let searched = set.searched(&engine);
    let cell = |share| Cell { share, correlation: 1 }.groups(searched, 5);
    for (wide, narrow) in cell(0.5).iter().zip(cell(0.1)) {
        let both = |row: &u32| wide.rows().binary_search(row).is_ok();
        let both: Vec<u32> = narrow.rows().iter().copied().filter(both).collect();
        let matches = Group::new(both.clone(), Vec::new()).matches(engine.index());
        let params = SearchParams { filter: Some(matches), ..params() };
        let answers = engine.search(set.queries.row(0), &params).unwrap();
        assert_eq!(answers[0].filtered.unwrap().matches, both.len() as u64);
        assert_eq!((both.len(), answers[0].neighbours.len()), (1200, K));
    }
}

/// What is compared exactly is bounded by matches, so that more lists never crowd the nearest out.
#[test]
fn recall_does_not_fall_as_more_lists_are_searched() {
    let set = Set::build(Tier::Memory);
    let engine = set.open(Tier::Memory, Tier::Ssd);
    let searched = set.searched(&engine);
    let groups = Cell { share: 0.05, correlation: 0 }.groups(searched, 5);
    let mut before = 0.0;
    for max_lists in [1, 4, 16, 64, 256, 300] {
        for plan in [FilterPlan::Lists, FilterPlan::Post] {
            let params = SearchParams {
                max_lists: Some(max_lists),
                filter_plan: Some(plan),
                rerank: Some(Rerank::Count(30)),
                ..SearchParams::new(K)
            };
            let (recall, _) = measure(searched, &groups, &params).unwrap().recall();
            assert!(recall >= before - 0.002, "{max_lists} lists, {plan}: {recall}, {before} of fewer");
            before = f64::max(before, recall);
        }
    }
    assert!(before > 0.97, "{before}");
}

#[test]
fn an_explanation_says_which_plan_was_followed_and_why() {
    let set = Set::build(Tier::Memory);
    let engine = set.open(Tier::Memory, Tier::Memory);
    let told = |share: f64, correlation, params: SearchParams| {
        let searched = set.searched(&engine);
        let groups = Cell { share, correlation }.groups(searched, 5);
        let group = &groups[0];
        let matches = Some(group.matches(engine.index()));
        let params = SearchParams { filter: matches, explain: true, ..params };
        let answer = engine.search(set.queries.row(group.queries()[0]), &params).unwrap().remove(0);
        let filter = answer.explanation.as_ref().unwrap().filter.unwrap();
        assert_eq!(Some(filter.plan), answer.filtered.map(|filtered| filtered.plan));
        (filter.plan, filter.reason)
    };
    let asked = |plan| SearchParams { filter_plan: Some(plan), ..params() };
    assert_eq!(told(0.5, 0, asked(FilterPlan::Codes)), (FilterPlan::Codes, PlanReason::Asked));
    let exact = SearchParams { recall: Some(1.0), ..params() };
    assert_eq!(told(0.5, 0, exact), (FilterPlan::Exact, PlanReason::Exact));
    assert_eq!(told(1.0, 0, params()), (FilterPlan::Post, PlanReason::All));
    assert_eq!(told(0.5, 0, params()), (FilterPlan::Post, PlanReason::Cost));
    assert_eq!(told(0.05, 0, params()), (FilterPlan::Lists, PlanReason::Cost));
    assert_eq!(told(0.002, 0, params()), (FilterPlan::Exact, PlanReason::Cost));
    // Far from the query, and in many places.
    let sparse = (FilterPlan::Codes, PlanReason::Sparse);
    assert!(SHARES.iter().any(|&share| told(share, -1, params()) == sparse));
}

/// The answer to the first query of the first filter of a cell, explained.
fn first(set: &Set, engine: &Engine, cell: Cell, params: SearchParams) -> Answer {
    let group = &cell.groups(set.searched(engine), 5)[0];
    let filter = Some(group.matches(engine.index()));
    let params = SearchParams { filter, explain: true, ..params };
    engine.search(set.queries.row(group.queries()[0]), &params).unwrap().remove(0)
}

fn plan(answer: &Answer) -> FilterPlan {
    answer.filtered.unwrap().plan
}

#[test]
fn what_lists_cost_follows_their_number_that_a_query_names() {
    let set = Set::build(Tier::Memory);
    let engine = set.open(Tier::Memory, Tier::Memory);
    let answer = |max_lists| {
        let params = SearchParams { max_lists: Some(max_lists), ..SearchParams::new(K) };
        first(&set, &engine, Cell { share: 0.02, correlation: 0 }, params)
    };
    let cost = |answer: &Answer| answer.explanation.as_ref().unwrap().filter.unwrap().costs.lists;
    let (few, many) = (answer(4), answer(300));
    assert!(cost(&many) > 10.0 * cost(&few), "{} of 4, {} of 300", cost(&few), cost(&many));
    assert_eq!((plan(&few), plan(&many)), (FilterPlan::Lists, FilterPlan::Exact));
}

/// A query that would compare all matches, or their codes, searches lists instead where that is less.
#[test]
fn less_effort_is_less_work_whatever_the_plan() {
    let set = Set::build(Tier::Memory);
    let engine = set.open(Tier::Memory, Tier::Memory);
    let answer = |share, recall, effort| {
        let params = SearchParams { recall: Some(recall), effort, ..SearchParams::new(K) };
        first(&set, &engine, Cell { share, correlation: 0 }, params)
    };
    let mut changed = 0;
    for (share, recall) in [(0.5, 1.0), (0.02, 1.0), (0.01, TARGET), (0.005, TARGET), (0.003, TARGET)] {
        let [whole, less] = [1.0, 0.2].map(|effort| answer(share, recall, effort));
        let costs = |answer: &Answer| answer.explanation.as_ref().unwrap().filter.unwrap().costs;
        let expected = |answer: &Answer| answer.promise.unwrap().expected.unwrap();
        println!(
            "{share}: {:?} {:?}, then {:?} {:?}",
            plan(&whole),
            costs(&whole),
            plan(&less),
            costs(&less)
        );
        assert_eq!(less.neighbours.len(), K);
        if plan(&whole) == FilterPlan::Exact && plan(&less) == FilterPlan::Exact {
            // Even the fewest lists take more.
            assert!(costs(&less).lists >= costs(&less).exact);
            continue;
        }
        changed += usize::from(plan(&whole) != plan(&less));
        assert!(costs(&less).lists < costs(&whole).exact.min(costs(&whole).lists), "{share}");
        assert!(expected(&less) < expected(&whole), "{share}: {} of {}", expected(&less), expected(&whole));
    }
    assert!(changed >= 2, "{changed}");
}

#[test]
fn only_lists_beyond_the_plan_are_widening_and_none_is_where_they_are_limited() {
    let set = Set::build(Tier::Memory);
    let engine = set.open(Tier::Memory, Tier::Memory);
    let far = Cell { share: 0.2, correlation: -1 };
    let params = SearchParams { filter_plan: Some(FilterPlan::Lists), ..params() };
    let free = first(&set, &engine, far, params.clone());
    assert!(free.filtered.unwrap().widened && free.promise.unwrap().expected.is_none());
    let planned = free.explanation.as_ref().unwrap().lists_planned;
    assert!(free.work.lists > planned, "{} of {planned}", free.work.lists);
    for (max_lists, widened) in [(planned + (free.work.lists - planned) / 2, true), (4, false)] {
        let answer = first(&set, &engine, far, SearchParams { max_lists: Some(max_lists), ..params.clone() });
        let planned = answer.explanation.as_ref().unwrap().lists_planned;
        assert_eq!((answer.work.lists, planned < max_lists), (max_lists, widened), "{planned} planned");
        assert_eq!(answer.filtered.unwrap().widened, widened, "{planned} planned");
        assert_eq!(answer.promise.unwrap().expected, None, "nothing is known of the recall");
    }
}

/// All vectors match but the 100 nearest to the query: a few of its lists hold none, and all of them together most of what is
/// expected.
#[test]
fn a_hole_around_the_query_costs_no_recall() {
    for codes in [Tier::Memory, Tier::Ssd] {
        let set = Set::build(codes);
        let engine = set.open(codes, codes);
        let searched = set.searched(&engine);
        let hole = |query: usize| {
            let far = scores(Metric::L2, &set.base, set.queries.row(query));
            let mut order: Vec<u32> = (0..far.len() as u32).collect();
            order.sort_unstable_by(|&a, &b| far[a as usize].total_cmp(&far[b as usize]));
            let mut rows = order.split_off(100);
            rows.sort_unstable();
            Group::new(rows, vec![query])
        };
        let groups: Vec<Group> = (0..250).map(hole).collect();
        let found = measure(searched, &groups, &params()).unwrap();
        keeps(&found, &format!("codes {codes}, a hole"));
        assert!(found.widened > groups.len() / 2, "{}", found.widened);
    }
}

#[test]
fn a_query_that_names_epsilon_is_guarded_too() {
    let set = Set::build(Tier::Memory);
    let engine = set.open(Tier::Memory, Tier::Memory);
    let groups = Cell { share: 0.2, correlation: -1 }.groups(set.searched(&engine), 5);
    let params =
        SearchParams { epsilon: Some(0.1), filter_plan: Some(FilterPlan::Lists), ..SearchParams::new(K) };
    let found = measure(set.searched(&engine), &groups, &params).unwrap();
    assert!(found.widened > found.recalls.len() / 2, "{} of {}", found.widened, found.recalls.len());
}

#[test]
fn what_cannot_be_planned_is_refused_and_a_limit_named() {
    let set = Set::build(Tier::Memory);
    let engine = set.open(Tier::Ssd, Tier::Ssd);
    let refused = |params: SearchParams| match engine.search(set.queries.row(0), &params) {
        Err(SearchError::Params(error)) => error,
        found => panic!("{found:?}"),
    };
    let all = Arc::new(Matches::of(engine.index(), |_| true));
    let codes = SearchParams { filter: Some(all.clone()), filter_plan: Some(FilterPlan::Codes), ..params() };
    assert_eq!(refused(codes), ParamsError::CodesPlan);
    let alone = SearchParams { filter_plan: Some(FilterPlan::Lists), ..params() };
    assert_eq!(refused(alone), ParamsError::PlanAlone);
    let other = SearchParams { filter: Some(Arc::new(Matches::new(Vec::new()))), ..params() };
    assert_eq!(refused(other), ParamsError::FilterShape { found: 0, expected: 12_000 });
    let of_page = engine.index().page_layout().page_records() as u32;
    let bytes = SearchParams {
        filter: Some(all),
        filter_plan: Some(FilterPlan::Exact),
        max_bytes: Some(20 * 4096),
        ..params()
    };
    let answer = engine.search(set.queries.row(0), &bytes).unwrap().remove(0);
    assert_eq!((answer.limited_by, answer.work.reranked), (Some(Limit::MaxBytes), 20 * of_page));
    assert!(answer.work.read_bytes <= 20 * 4096 && answer.promise.unwrap().expected.is_none());
}
