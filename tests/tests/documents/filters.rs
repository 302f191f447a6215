//! Documents that match a filter.
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use spandrel_builder::{BuildConfig, BuildError, ListCount};
use spandrel_engine::{
    Answer, DocumentParams, Engine, FilterPlan, Limit, ParamsError, QueryDocuments, SearchError,
};
use spandrel_filter::{Cell, Filter};
use spandrel_index::attributes::{CompileError, CompileLimits, compile};
use spandrel_index::{DType, Index, Matches, Tier};
use spandrel_tests::CellRows;

use super::set::{Set, all, config, search, set};
use crate::support::{TIERS, open_engine, open_engine_with, verify_index};

const COUNT: usize = 400;

/// Documents with ids of their own and an attribute of each type.
pub(super) fn base() -> Set {
    let ids = (0..COUNT as u64).map(|document| document * 7919 % 10_007 + 5).collect();
    Set { ids: Some(ids), attributes: Some(CellRows::random(COUNT, 5)), ..set(DType::I8, COUNT as u64, 3) }
}

fn limits(memory_bytes: usize, stop: &AtomicBool) -> CompileLimits<'_> {
    CompileLimits { memory_bytes, deadline: None, stop }
}

pub(super) fn compiled(index: &Index, text: &str) -> Arc<Matches> {
    let bound = Filter::parse(text).unwrap().bind(index.schema()).unwrap();
    Arc::new(compile(index, &bound, limits(1 << 20, &AtomicBool::new(false))).unwrap())
}

pub(super) fn among(
    engine: &Engine,
    queries: &Set,
    params: &DocumentParams,
    filter: &Arc<Matches>,
) -> Vec<Answer> {
    let of = QueryDocuments { tokens: queries.rows.bytes(), offsets: &queries.offsets };
    let filter = |_| Ok::<_, SearchError>(Some(Arc::clone(filter)));
    engine.search_documents_among(of, params, filter, &Arc::default()).unwrap()
}

fn ids(answer: &Answer) -> Vec<u64> {
    answer.neighbours.iter().map(|of| of.id).collect()
}

/// A filter, and the documents of which it is true.
fn cases(base: &Set) -> Vec<(String, Vec<usize>)> {
    let cells = &base.attributes.as_ref().unwrap().cells;
    let of = |is_match: &dyn Fn(usize) -> bool| (0..COUNT).filter(|&document| is_match(document)).collect();
    let number = |document: usize| match cells[document][3] {
        Cell::I64(number) => Some(number),
        _ => None,
    };
    let three = [9, 200, 399].map(|document| base.id(document));
    let mut cases: Vec<(String, Vec<usize>)> = [1000, 0, -30, -49, -50]
        .map(|limit| (format!("i64 < {limit}"), of(&|document| number(document).is_some_and(|n| n < limit))))
        .into();
    cases.extend([
        ("i64 is null or i64 is not null".to_owned(), (0..COUNT).collect()),
        (format!("id in [{}, {}, {}, 4]", three[0], three[1], three[2]), vec![9, 200, 399]),
        (format!("not id in [{}, 3]", three[0]), of(&|document| document != 9)),
        ("i64 > 60".to_owned(), of(&|document| number(document).is_some_and(|n| n > 60))),
        ("i64 > 80".to_owned(), of(&|document| number(document).is_some_and(|n| n > 80))),
        ("i64 < -1000".to_owned(), Vec::new()),
    ]);
    cases
}

#[test]
fn filters_hold_however_documents_are_searched() {
    let plans = filters_hold(&base());
    assert!(plans.contains(&FilterPlan::Codes) && plans.contains(&FilterPlan::Post), "{plans:?}");
}

/// The same of documents that are searched by one vector each.
#[test]
fn filters_hold_over_encoded_documents() {
    let encoding = Some("muvera:R=10,k=3,d=8".parse().unwrap());
    let plans = filters_hold(&Set { encoding, ..base() });
    assert!(plans.contains(&FilterPlan::Exact) && plans.len() > 1, "{plans:?}");
}

/// Filters over documents, however these are searched: the plans that were chosen.
fn filters_hold(base: &Set) -> Vec<FilterPlan> {
    let queries = set(DType::I8, 12, 4);
    let truth = base.truth(&queries, COUNT);
    let mut plans = Vec::new();
    for codes in [Tier::Memory, Tier::Ssd] {
        let dir = tempfile::tempdir().unwrap();
        let lists = ListCount::Lists(200);
        base.build(&BuildConfig { codes, lists, ..config(dir.path()) }).unwrap();
        verify_index(dir.path(), true).unwrap();
        for options in TIERS {
            let engine = open_engine_with(dir.path(), options);
            let missed_of = |answers: &[Answer], best: &dyn Fn(usize, usize) -> Vec<u64>| -> usize {
                let of = |(query, answer): (usize, &Answer)| {
                    best(query, 10).iter().filter(|id| !ids(answer).contains(id)).count()
                };
                answers.iter().enumerate().map(of).sum()
            };
            let of_all = |query: usize, k: usize| {
                truth.ids_of(query).iter().take(k).map(|&document| base.id(document as usize)).collect()
            };
            let params =
                [40, 15].map(|compared| DocumentParams { rerank: Some(compared), ..DocumentParams::new(10) });
            let plain = params.map(|params| missed_of(&search(&engine, &queries, &params).unwrap(), &of_all));
            for (text, matching) in cases(base) {
                let what = format!("{codes} {options:?} {text}");
                let matches = compiled(engine.index(), &text);
                assert_eq!(matches.count(), matching.len() as u64, "{what}");
                let best = |query: usize, k: usize| -> Vec<u64> {
                    let all = truth.ids_of(query).iter().map(|&document| document as usize);
                    all.filter(|of| matching.contains(of)).take(k).map(|of| base.id(of)).collect()
                };
                for (query, answer) in among(&engine, &queries, &all(10), &matches).iter().enumerate() {
                    assert_eq!(ids(answer), best(query, 10), "{what}, query {query}");
                    let filtered = answer.filtered.unwrap();
                    assert_eq!((filtered.matches, filtered.plan), (matches.count(), FilterPlan::Exact));
                    assert_eq!(
                        (answer.work.documents, answer.work.lists),
                        (matching.len() as u32, 0),
                        "{what}"
                    );
                }
                for (params, plain) in params.iter().zip(plain) {
                    let answers = among(&engine, &queries, params, &matches);
                    for (query, answer) in answers.iter().enumerate() {
                        let (found, count) = (ids(answer), best(query, 10).len());
                        assert_eq!(found.len(), count, "{what}: k are found wherever they match");
                        let is_match = |id: &u64| matching.iter().any(|&of| base.id(of) == *id);
                        assert!(found.iter().all(is_match), "{what}");
                        let plan = answer.filtered.unwrap().plan;
                        let is_few = matching.len() <= params.rerank.unwrap() as usize;
                        assert_eq!(plan == FilterPlan::Exact, is_few, "{what}");
                        plans.push(plan);
                    }
                    let missed = missed_of(&answers, &best);
                    assert!(missed <= plain + 2, "{what}: {missed} of 120 missed, {plain} without a filter");
                }
            }
        }
    }
    plans.sort_unstable();
    plans.dedup();
    plans
}

/// Where bytes do not allow all documents that match to be read, tokens choose among them.
#[test]
fn tokens_choose_among_few_documents_where_bytes_are_short() {
    let (dir, base, queries) = (tempfile::tempdir().unwrap(), base(), set(DType::I8, 12, 4));
    base.build(&config(dir.path())).unwrap();
    let engine = open_engine(dir.path());
    let matches = compiled(engine.index(), "i64 > 20");
    let params = DocumentParams { rerank: Some(matches.count() as u32), ..DocumentParams::new(1) };
    let all = among(&engine, &queries, &params, &matches);
    let short = DocumentParams { max_bytes: Some(8 << 12), ..params };
    let few = among(&engine, &queries, &short, &matches);
    let plan_of = |answer: &Answer| answer.filtered.unwrap().plan;
    assert!(all.iter().all(|answer| plan_of(answer) == FilterPlan::Exact));
    assert!(few.iter().all(|answer| plan_of(answer) != FilterPlan::Exact));
    assert!(few.iter().all(|answer| answer.limited_by == Some(Limit::MaxBytes)), "{few:?}");
    let same = all.iter().zip(&few).filter(|(all, few)| ids(all) == ids(few)).count();
    assert!(same >= 9, "the best of {} found for {same} of 12 queries", matches.count());
    let roomy = DocumentParams { max_bytes: Some(1 << 30), ..params };
    assert!(among(&engine, &queries, &roomy, &matches).iter().all(|of| plan_of(of) == FilterPlan::Exact));
}

/// A token does not give its places to documents that do not match, and searches more lists the fewer do.
#[test]
fn tokens_search_more_lists_the_fewer_documents_match() {
    let (dir, base, queries) = (tempfile::tempdir().unwrap(), base(), set(DType::I8, 6, 4));
    base.build(&BuildConfig { codes: Tier::Ssd, ..config(dir.path()) }).unwrap();
    let engine = open_engine(dir.path());
    let params = DocumentParams { rerank: Some(10), tokens: Some(5), ..DocumentParams::new(5) };
    let tenth = compiled(engine.index(), "i64 > 20");
    assert!(tenth.count() > 20 && tenth.count() < 110, "{}", tenth.count());
    let lists = |answers: &[Answer]| answers.iter().map(|answer| answer.work.lists).sum::<u32>();
    let plain = search(&engine, &queries, &params).unwrap();
    let filtered = among(&engine, &queries, &params, &tenth);
    assert!(lists(&filtered) > lists(&plain), "{} {}", lists(&filtered), lists(&plain));
    for answer in &filtered {
        assert!(answer.work.candidates >= 5, "what a token keeps are tokens of matches: {:?}", answer.work);
    }
    // A number of lists that is named holds.
    let few = DocumentParams { max_lists: Some(2), ..params };
    for (query, answer) in among(&engine, &queries, &few, &tenth).iter().enumerate() {
        let tokens = queries.offsets.rows_of(query).len() as u32;
        assert!(answer.work.lists <= 2 * tokens, "{:?}", answer.work);
        assert_eq!(answer.neighbours.len(), 5);
    }
}

#[test]
fn filters_that_do_not_fit_documents_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (base, queries) = (base(), set(DType::I8, 3, 4));
    base.build(&config(&dir.path().join("one"))).unwrap();
    let engine = open_engine(&dir.path().join("one"));
    let other = Set { attributes: Some(CellRows::random(30, 5)), ..set(DType::I8, 30, 3) };
    other.build(&config(&dir.path().join("other"))).unwrap();
    let of_other = compiled(&Index::open(&dir.path().join("other")).unwrap(), "i64 < 0");
    // Of vectors, and not of documents.
    let of_vectors = Arc::new(Matches::of(engine.index(), |_| true));
    for (matches, found) in [(of_other, 30), (of_vectors, base.offsets.rows())] {
        let of = QueryDocuments { tokens: queries.rows.bytes(), offsets: &queries.offsets };
        let filter = |_| Ok::<_, SearchError>(Some(Arc::clone(&matches)));
        let error = engine.search_documents_among(of, &all(3), filter, &Arc::default()).unwrap_err();
        let expected = ParamsError::FilterShape { found, expected: COUNT as u64 };
        assert!(matches!(&error, SearchError::Params(error) if *error == expected), "{error}");
    }
    // What compiling takes is bounded, and it is given up.
    let bound = Filter::parse("i64 < 1000").unwrap().bind(engine.index().schema()).unwrap();
    let compile = |memory_bytes, stopped: bool| {
        compile(engine.index(), &bound, limits(memory_bytes, &AtomicBool::new(stopped)))
    };
    let error = compile(500, false).unwrap_err();
    assert!(matches!(error, CompileError::Memory { needed, allowed: 500 } if needed > 500), "{error}");
    assert!(matches!(compile(1 << 20, true).unwrap_err(), CompileError::Stopped));
    let tokens = compile(1 << 20, false).unwrap();
    let tokens = tokens.tokens().unwrap();
    let expected: u64 = (0..COUNT)
        .filter(|&document| matches!(base.attributes.as_ref().unwrap().cells[document][3], Cell::I64(_)))
        .map(|document| base.offsets.rows_of(document).len() as u64)
        .sum();
    assert_eq!(tokens.count(), expected);
    // Attributes are of documents, and lists hold tokens.
    let refused = |change: fn(&mut CellRows)| {
        let mut base = base.clone();
        change(base.attributes.as_mut().unwrap());
        match base.build(&config(&dir.path().join("refused"))).unwrap_err() {
            BuildError::Parameter { parameter, .. } => parameter,
            error => panic!("{error}"),
        }
    };
    assert_eq!(refused(|cells| cells.partition_by = Some("i64".to_owned())), "--partition-by");
    assert_eq!(refused(|cells| drop(cells.cells.pop())), "--attributes: number of rows");
}
