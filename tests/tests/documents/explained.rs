//! The explanation of a query document adds up with its work and with its answer.
use spandrel_builder::{BuildConfig, Caller, Input, Silent, build_for};
use spandrel_engine::{
    Answer, DocumentParams, EXPLAINED_MAX, Engine, ExplainedDocuments, Explanation, FilterPlan, PlanReason,
    ReadPart, SearchedBy, Stop,
};
use spandrel_index::{DType, Tier};
use std::sync::atomic::AtomicBool;

use super::filters::{among, base, compiled};
use super::set::{Set, all, config, search, set};
use crate::support::{TIERS, open_engine, open_engine_with};

fn told(answer: &Answer) -> (&Explanation, &ExplainedDocuments) {
    let told = answer.explanation.as_deref().expect("it was asked for");
    (told, told.documents.as_deref().expect("the query is a document"))
}

/// Fails unless everything that is told is what the work and the answer say.
#[track_caller]
fn check(answer: &Answer, what: &str) {
    let ((told, documents), work) = (told(answer), &answer.work);
    let scanned: u64 = documents.searches.items.iter().map(|of| of.scanned).sum();
    let lists: usize = documents.searches.items.iter().map(|of| of.lists.items.len()).sum();
    assert!(lists <= EXPLAINED_MAX.max(documents.searches.items.len()), "{what}: {lists} lists told");
    if documents.searches.more == 0 {
        assert_eq!(scanned, work.vectors_scanned, "{what}");
        let all: u32 =
            documents.searches.items.iter().map(|of| of.lists.items.len() as u32 + of.lists.more).sum();
        assert!(all >= work.lists, "{what}: {all} of {} lists", work.lists);
        let read: u64 = documents.searches.items.iter().map(|of| of.read_bytes).sum();
        let of_lists = told.rounds.iter().filter(|round| round.part == ReadPart::Lists);
        assert_eq!(of_lists.map(|round| round.bytes).sum::<u64>(), read, "{what}");
    }
    let reads: u32 = told.rounds.iter().map(|round| round.reads).sum();
    let bytes: u64 = told.rounds.iter().map(|round| round.bytes).sum();
    assert_eq!((reads, bytes), (work.reads, work.read_bytes), "{what}");
    assert_eq!(told.rounds.len() as u32, work.rounds, "{what}");
    let compared = &documents.compared;
    assert_eq!(compared.items.len() as u32 + compared.more, work.documents, "{what}");
    let found = |of: f32| if of.is_nan() { f32::NEG_INFINITY } else { of };
    let estimates: Vec<f32> =
        compared.items.iter().map(|of| found(of.estimate.unwrap_or(f32::NAN))).collect();
    // Sums of 32 bits may round differently from those that the order was made by.
    let slack = |of: f32| of - 1e-3 * of.abs().max(1.0);
    assert!(estimates.windows(2).all(|pair| pair[0] >= slack(pair[1])), "{what}: {estimates:?}");
    for of in &compared.items {
        assert_eq!(of.found_by == 0, of.estimate.is_none(), "{what}: {of:?}");
    }
    if compared.more == 0 {
        let mut exact: Vec<_> =
            compared.items.iter().map(|of| (of.score.unwrap(), of.document, of.id)).collect();
        exact.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        let best: Vec<_> =
            exact.iter().take(answer.neighbours.len()).map(|of| (of.2, of.0.to_bits())).collect();
        let given: Vec<_> = answer.neighbours.iter().map(|of| (of.id, of.distance.to_bits())).collect();
        assert_eq!(best, given, "{what}");
    }
    let stages = answer.stages.expect("an explanation has times by stage");
    let probed = documents.by == SearchedBy::Filter || stages.probe_us > 0.0 && stages.scan_us > 0.0;
    assert!(probed && stages.rerank_us > 0.0, "{what}: {stages:?}");
}

/// The same with and without being explained, which changes nothing else.
#[track_caller]
fn explained(engine: &Engine, queries: &Set, params: DocumentParams, what: &str) -> Vec<Answer> {
    let plain = search(engine, queries, &params).unwrap();
    assert!(plain.iter().all(|answer| answer.explanation.is_none() && answer.stages.is_none()));
    let answers = search(engine, queries, &DocumentParams { explain: true, ..params }).unwrap();
    for (query, (answer, plain)) in answers.iter().zip(&plain).enumerate() {
        assert_eq!((&answer.neighbours, answer.work), (&plain.neighbours, plain.work), "{what}");
        check(answer, &format!("{what}, query {query}"));
    }
    answers
}

#[test]
fn it_adds_up_wherever_tokens_and_codes_are() {
    let (base, queries) = (set(DType::I8, 150, 3), set(DType::I8, 12, 4));
    for codes in [Tier::Memory, Tier::Ssd] {
        let dir = tempfile::tempdir().unwrap();
        base.build(&BuildConfig { codes, ..config(dir.path()) }).unwrap();
        for options in TIERS {
            let engine = open_engine_with(dir.path(), options);
            let what = format!("{codes} {options:?}");
            let few = DocumentParams { rerank: Some(20), tokens: Some(50), ..DocumentParams::new(5) };
            for (query, answer) in explained(&engine, &queries, few, &what).iter().enumerate() {
                let (told, documents) = told(answer);
                let tokens = queries.offsets.rows_of(query).len();
                assert_eq!(
                    documents.searches.items.len() + documents.searches.more as usize,
                    tokens,
                    "{what}"
                );
                assert_eq!((documents.by, told.stop), (SearchedBy::Tokens, Stop::Count), "{what}");
                assert!(
                    documents.searches.items.iter().all(|of| of.kept == 50 && of.floor.is_some()),
                    "{what}"
                );
                assert!(
                    documents.searches.items.iter().all(|of| of.stop == Stop::Count || of.stop == Stop::All)
                );
                assert_eq!(told.lists_planned, few.lists(engine.index()), "{what}");
            }
            for answer in explained(&engine, &queries, all(5), &what) {
                assert_eq!(told(&answer).0.stop, Stop::All, "{what}");
            }
        }
        let engine = open_engine(dir.path());
        let short = DocumentParams { max_bytes: Some(64 << 10), ..all(5) };
        for answer in explained(&engine, &queries, short, "bytes") {
            assert_eq!(told(&answer).0.stop, Stop::MaxBytes);
        }
    }
}

#[test]
fn an_encoding_is_one_search() {
    let (dir, base, queries) = (tempfile::tempdir().unwrap(), set(DType::I8, 150, 3), set(DType::I8, 12, 4));
    let input = Input { document_encoding: Some("muvera:R=10,k=3,d=8".parse().unwrap()), ..base.input() };
    let stop = AtomicBool::new(false);
    let caller = Caller { progress: &Silent, stop: &stop, calibrate: None };
    build_for(input, &config(dir.path()), caller).unwrap();
    let engine = open_engine(dir.path());
    let params = DocumentParams { rerank: Some(30), max_lists: Some(2), ..DocumentParams::new(5) };
    for answer in explained(&engine, &queries, params, "encoded") {
        let (told, documents) = told(&answer);
        assert_eq!((documents.by, documents.searches.items.len()), (SearchedBy::Encoding, 1));
        assert_eq!((told.lists_planned, documents.searches.items[0].lists.items.len()), (2, 2));
        assert!(documents.compared.items.iter().any(|of| of.found_by == 1));
    }
}

#[test]
fn a_filter_is_told_with_its_plan() {
    let (dir, base, queries) = (tempfile::tempdir().unwrap(), base(), set(DType::I8, 6, 4));
    base.build(&config(dir.path())).unwrap();
    let engine = open_engine(dir.path());
    let of = |text: &str, rerank: u32| {
        let params = DocumentParams { rerank: Some(rerank), explain: true, ..DocumentParams::new(5) };
        let answers = among(&engine, &queries, &params, &compiled(engine.index(), text));
        answers.iter().for_each(|answer| check(answer, text));
        let (told, documents) = told(&answers[0]);
        (
            told.filter.unwrap(),
            documents.by,
            documents.searches.items.iter().map(|of| of.plan).collect::<Vec<_>>(),
        )
    };
    let (filter, by, searches) = of("i64 > 20", 200);
    assert_eq!((filter.plan, filter.reason, by), (FilterPlan::Exact, PlanReason::Few, SearchedBy::Filter));
    assert!(searches.is_empty());
    let (filter, by, searches) = of("i64 > 20", 10);
    assert_eq!((filter.reason, by), (PlanReason::Cost, SearchedBy::Tokens));
    assert!(searches.iter().all(Option::is_some), "{searches:?}");
}
