//! An explanation adds up with the work and with the answer that it explains.
use spandrel_engine::{Answer, Engine, Explanation, Limit, ListFate, ReadPart, Rerank, SearchParams, Stop};
use spandrel_index::codes::CodeSpec;
use spandrel_index::{DType, Index, Metric, OpenOptions, Tier};
use spandrel_io::faults::{FaultRates, FaultyReader, Schedule};
use spandrel_io::open_reader;
use spandrel_tests::{Base, clustered, coded, config};
use std::sync::Arc;

use crate::support::{TIERS, engine_config, found, open_engine_with};

const K: usize = 10;

fn explanation(answer: &Answer) -> &Explanation {
    answer.explanation.as_deref().expect("it was asked for")
}

/// Fails unless everything that the explanation tells is what the work and the answer say.
#[track_caller]
fn check(answer: &Answer, engine: &Engine, what: &str) {
    let (told, work) = (explanation(answer), &answer.work);
    let lists = &told.lists.items;
    assert_eq!(told.lists.more, 0, "{what}: these indexes have few lists");
    assert!(lists.is_sorted_by(|a, b| a.head_distance <= b.head_distance), "{what}: nearest first");
    let of = |fate| lists.iter().filter(|list| list.fate == fate).count() as u32;
    assert_eq!(lists.len() as u32 - of(ListFate::Epsilon), work.lists, "{what}: {lists:?}");
    assert_eq!(of(ListFate::Damaged), answer.missing.lists, "{what}: {lists:?}");
    assert_eq!(of(ListFate::MaxBytes) > 0, told.stop == Stop::MaxBytes, "{what}");
    let scanned: u64 = lists.iter().map(|list| u64::from(list.scanned)).sum();
    assert_eq!(scanned, work.vectors_scanned, "{what}");
    let sums = |part: Option<ReadPart>| {
        let rounds = told.rounds.iter().filter(|round| part.is_none_or(|part| round.part == part));
        rounds.fold((0, 0), |(reads, bytes), round| (reads + round.reads, bytes + round.bytes))
    };
    assert_eq!(sums(None), (work.reads, work.read_bytes), "{what}");
    assert_eq!(told.rounds.len() as u32, work.rounds, "{what}");
    let in_memory = engine.index().codes_tier() == Tier::Memory;
    assert_eq!(sums(Some(ReadPart::Lists)).0 == 0, in_memory || work.lists == 0, "{what}");
    let compared = &told.compared;
    assert_eq!(compared.items.len() as u32 + compared.more, work.reranked, "{what}");
    assert!(
        compared.items.is_sorted_by_key(|vector| (vector.burst, vector.beside)),
        "{what}: burst by burst"
    );
    if answer.missing.pages == 0 && compared.more == 0 {
        assert!(compared.items.iter().all(|vector| vector.exact.is_some()), "{what}");
    }
    if told.rerank.is_some() && compared.more == 0 {
        let sign = if engine.index().metric() == Metric::InnerProduct { -1.0 } else { 1.0 };
        let mut exact: Vec<_> = compared.items.iter().filter_map(|vector| vector.exact).collect();
        exact.sort_by(|a, b| (sign * a.distance).total_cmp(&(sign * b.distance)).then(a.id.cmp(&b.id)));
        let best: Vec<_> = exact.iter().take(K).map(|exact| (exact.id, exact.distance.to_bits())).collect();
        assert_eq!(best, found(std::slice::from_ref(answer))[0].0, "{what}");
    }
    let stages = answer.stages.expect("an explanation has times by stage");
    assert!(stages.probe_us > 0.0, "{what}: {stages:?}");
}

/// The same queries with and without being explained, which changes nothing else.
#[track_caller]
fn explained(engine: &Engine, params: &SearchParams, what: &str) -> Vec<Answer> {
    let index = engine.index();
    let queries = clustered(index.dtype(), index.dim(), 20, 5);
    let plain = engine.search(queries.bytes(), params).unwrap();
    assert!(plain.iter().all(|answer| answer.explanation.is_none()));
    let explain = SearchParams { explain: true, ..params.clone() };
    let answers = engine.search(queries.bytes(), &explain).unwrap();
    assert_eq!(found(&answers), found(&plain), "{what}");
    for (query, answer) in answers.iter().enumerate() {
        check(answer, engine, &format!("{what}, query {query}"));
    }
    answers
}

fn params() -> [(&'static str, SearchParams); 5] {
    let of = |max_lists| SearchParams { max_lists: Some(max_lists), ..SearchParams::new(K) };
    [
        ("own", SearchParams::new(K)),
        ("lists", of(6)),
        ("epsilon", SearchParams { epsilon: Some(0.1), ..SearchParams::new(K) }),
        ("count", SearchParams { rerank: Some(Rerank::Count(30)), ..of(12) }),
        ("bytes", SearchParams { max_bytes: Some(20_000), ..of(12) }),
    ]
}

#[test]
fn it_adds_up_wherever_codes_and_vectors_are() {
    for metric in Metric::ALL {
        let dir = tempfile::tempdir().unwrap();
        let base = Base::new(clustered(DType::F32, 24, 3000, 1));
        let mut config = coded(metric, CodeSpec::RaBitQ { bits: 2 }, Tier::Ssd, dir.path());
        config.max_replicas = 2;
        base.build(&config).unwrap();
        for options in TIERS {
            let engine = open_engine_with(dir.path(), options);
            for (name, params) in params() {
                explained(&engine, &params, &format!("{metric}, {options:?}, {name}"));
            }
        }
    }
}

#[test]
fn it_adds_up_for_lists_of_exact_vectors() {
    let dir = tempfile::tempdir().unwrap();
    Base::new(clustered(DType::U8, 24, 3000, 1)).build(&config(Metric::L2, dir.path())).unwrap();
    let engine = open_engine_with(dir.path(), OpenOptions::default());
    for (name, params) in params() {
        let answers = explained(&engine, &params, name);
        assert!(answers.iter().all(|answer| explanation(answer).rerank.is_none()));
    }
}

#[test]
fn it_says_why_a_search_stops() {
    let dir = tempfile::tempdir().unwrap();
    Base::new(clustered(DType::U8, 24, 3000, 1)).build(&config(Metric::L2, dir.path())).unwrap();
    let engine = open_engine_with(dir.path(), OpenOptions::default());
    let lists = engine.index().lists();
    let stops = |params: &SearchParams| {
        let answers = explained(&engine, params, &format!("{params:?}"));
        let mut stops: Vec<Stop> = answers.iter().map(|answer| explanation(answer).stop).collect();
        stops.dedup();
        (stops, answers)
    };
    let of = |max_lists| SearchParams { max_lists: Some(max_lists), ..SearchParams::new(K) };
    assert_eq!(stops(&of(6)).0, [Stop::Count]);
    assert_eq!(stops(&of(lists)).0, [Stop::All]);
    let (stop, answers) = stops(&SearchParams { epsilon: Some(0.0), ..of(lists) });
    assert_eq!(stop, [Stop::Epsilon]);
    let first = &explanation(&answers[0]).lists.items;
    assert_eq!(first.len() as u32, lists, "every list was considered");
    // More neighbours than one list holds.
    let many = SearchParams { epsilon: Some(0.0), ..SearchParams::new(400) };
    let (stop, answers) = stops(&many);
    assert_eq!(stop, [Stop::Neighbours]);
    let fates: Vec<ListFate> = explanation(&answers[0]).lists.items.iter().map(|list| list.fate).collect();
    assert!(fates[0] == ListFate::Planned && fates.contains(&ListFate::Needed), "{fates:?}");
    let (stop, answers) = stops(&SearchParams { max_lists: Some(2), ..SearchParams::new(400) });
    assert_eq!((stop, answers[0].limited_by), (vec![Stop::MaxLists], Some(Limit::MaxLists)));
    let (stop, answers) = stops(&SearchParams { max_bytes: Some(4096), ..of(6) });
    assert_eq!((stop, answers[0].limited_by), (vec![Stop::MaxBytes], Some(Limit::MaxBytes)));
}

#[test]
fn it_tells_what_was_damaged() {
    let dir = tempfile::tempdir().unwrap();
    let base = Base::new(clustered(DType::F32, 24, 3000, 1));
    base.build(&coded(Metric::L2, CodeSpec::RaBitQ { bits: 2 }, Tier::Ssd, dir.path())).unwrap();
    let index = Arc::new(Index::open(dir.path()).unwrap());
    let rates = FaultRates { error: 0.1, flip: 0.1, ..FaultRates::default() };
    let config = spandrel_engine::EngineConfig { threads: 1, ..engine_config() };
    let engine = Engine::open_with(index, config, move || {
        Ok(Box::new(FaultyReader::new(open_reader(config.io, 32)?, Schedule::seeded(1, rates))))
    })
    .unwrap();
    let params = SearchParams { explain: true, ..SearchParams::new(K) };
    let queries = clustered(DType::F32, 24, 100, 5);
    let (mut lists, mut pages) = (0, 0);
    for (query, answer) in engine.search(queries.bytes(), &params).unwrap().iter().enumerate() {
        check(answer, &engine, &format!("query {query}"));
        lists += answer.missing.lists;
        pages += answer.missing.pages;
    }
    assert!(lists > 0 && pages > 0, "{lists} lists and {pages} pages were damaged");
}
