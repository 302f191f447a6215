//! Documents of many vectors: built, searched by their tokens, compared by MaxSim.
mod explained;
mod fetched;
mod filters;
mod ids;
pub(crate) mod set;

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use spandrel_builder::testing::{Moment, StopAt};
use spandrel_builder::{BuildConfig, BuildError, Caller, Column, Input, Silent, build_for};
use spandrel_datasets::Truth;
use spandrel_engine::{
    Answer, DamagedPart, DocumentParams, DocumentRequest, Limit, Lookup, ParamsError, SearchError,
    SearchParams,
};
use spandrel_filter::Cell;
use spandrel_index::codes::CodeSpec;
use spandrel_index::documents::DocumentOffsets;
use spandrel_index::format::{CURRENT, Current, Manifest, VectorsOf, current, manifest_name};
use spandrel_index::{DType, Index, Metric, Tier, VerifyError};
use spandrel_io::FolderStore;
use spandrel_tests::CellRows;

use self::set::{DIM, Set, all, config, search, set};
use crate::support::{
    TIERS, assert_same, build_phase_by_phase, identity, open_engine, open_engine_with, verify_index,
};

pub(crate) fn assert_truth(answers: &[Answer], truth: &Truth, what: &str) {
    assert_eq!(answers.len(), truth.queries);
    for (query, answer) in answers.iter().enumerate() {
        let ids: Vec<u64> = answer.neighbours.iter().map(|of| of.id).collect();
        let distances = &truth.distances.as_ref().unwrap()[query * truth.k..(query + 1) * truth.k];
        assert_eq!(ids, truth.ids_of(query), "{what}: query {query}");
        for (of, &distance) in answer.neighbours.iter().zip(distances) {
            assert!(
                (of.distance - distance).abs() <= 1e-4 * distance.abs().max(1.0),
                "{what}: query {query}"
            );
            assert!(!of.estimated);
        }
    }
}

#[test]
fn every_document_compared_gives_the_best_by_max_sim() {
    for (dtype, codes) in [
        (DType::I8, Tier::Memory),
        (DType::U8, Tier::Ssd),
        (DType::F16, Tier::Memory),
        (DType::F32, Tier::Ssd),
    ] {
        let (dir, base, queries) = (tempfile::tempdir().unwrap(), set(dtype, 60, 3), set(dtype, 8, 4));
        base.build(&BuildConfig { codes, ..config(dir.path()) }).unwrap();
        let truth = base.truth(&queries, 10);
        for options in TIERS {
            let engine = open_engine_with(dir.path(), options);
            let what = format!("{dtype}, {options:?}");
            let answers = search(&engine, &queries, &all(10)).unwrap();
            assert_truth(&answers, &truth, &what);
            for answer in &answers {
                assert_eq!(u64::from(answer.work.reranked), base.offsets.rows(), "{what}");
                assert_eq!((answer.work.documents, answer.missing.parts()), (60, 0), "{what}");
            }
            assert!(engine.index().recall().is_none(), "there is nothing to calibrate with");
            // More are wanted than there are.
            let more = search(&engine, &queries, &DocumentParams::new(1000)).unwrap();
            assert!(more.iter().all(|answer| answer.neighbours.len() == 60), "{what}");
        }
    }
}

/// What the tokens find leads to the best documents long before all are compared, and what is read stays within the documents compared.
#[test]
fn few_documents_are_compared_by_what_tokens_find() {
    let (dir, base, queries) = (tempfile::tempdir().unwrap(), set(DType::I8, 400, 3), set(DType::I8, 20, 4));
    base.build(&config(dir.path())).unwrap();
    let engine = open_engine(dir.path());
    let truth = base.truth(&queries, 10);
    let found = |params: &DocumentParams| -> (usize, Vec<Answer>) {
        let answers = search(&engine, &queries, params).unwrap();
        let of_truth = |(query, answer): (usize, &Answer)| {
            answer.neighbours.iter().filter(|of| truth.ids_of(query).contains(&of.id)).count()
        };
        (answers.iter().enumerate().map(of_truth).sum(), answers)
    };
    let params = DocumentParams { rerank: Some(40), tokens: Some(400), ..DocumentParams::new(10) };
    let (few, answers) = found(&params);
    assert!(few >= 170, "{few} of 200 with a tenth of the documents");
    for answer in &answers {
        assert_eq!((answer.work.documents, answer.neighbours.len()), (40, 10));
        assert!(answer.work.candidates >= 40 && answer.work.vectors_scanned > 0 && answer.work.reads > 0);
    }
    let (most, _) = found(&DocumentParams { rerank: Some(200), ..params });
    assert!(most >= few, "{most} with half of the documents");
    // Without what the tokens find, documents come in the order of their numbers.
    let (least, _) = found(&DocumentParams { max_lists: Some(1), tokens: Some(1), ..params });
    assert!(least < few, "{least} where a token keeps one vector");
    // Answers do not depend on batches.
    let one = queries.offsets.rows_of(7);
    let row_bytes = DIM;
    let tokens = queries.rows.bytes()[one.start as usize * row_bytes..one.end as usize * row_bytes].to_vec();
    let (sender, receiver) = std::sync::mpsc::channel();
    let request = DocumentRequest { tokens: tokens.into(), params, filter: None, deadline: None, stop: None };
    engine.submit_document(request, move |answer| sender.send(answer).unwrap()).unwrap();
    let alone = receiver.recv().unwrap().unwrap();
    assert_eq!((&alone.neighbours, alone.work), (&answers[7].neighbours, answers[7].work));
}

#[test]
fn limits_and_deadlines_hold() {
    let (dir, base, queries) = (tempfile::tempdir().unwrap(), set(DType::I8, 200, 3), set(DType::I8, 5, 4));
    base.build(&BuildConfig { codes: Tier::Ssd, ..config(dir.path()) }).unwrap();
    let engine = open_engine(dir.path());
    let limit = 64 << 10;
    for answer in search(&engine, &queries, &DocumentParams { max_bytes: Some(limit), ..all(10) }).unwrap() {
        assert_eq!(answer.limited_by, Some(Limit::MaxBytes));
        assert!(answer.work.documents >= 1 && answer.work.documents < 200, "{:?}", answer.work);
    }
    for lists in [1, 3] {
        let params = DocumentParams { max_lists: Some(lists), ..DocumentParams::new(3) };
        for (query, answer) in search(&engine, &queries, &params).unwrap().iter().enumerate() {
            let tokens = queries.offsets.rows_of(query).len() as u32;
            assert!(answer.work.lists <= lists * tokens, "{:?}", answer.work);
        }
    }
    let (sender, receiver) = std::sync::mpsc::channel();
    let tokens = queries.rows.bytes()[..DIM].to_vec().into();
    let (params, deadline) = (all(3), Some(Instant::now()));
    let request = DocumentRequest { tokens, params, filter: None, deadline, stop: None };
    engine.submit_document(request, move |answer| sender.send(answer).unwrap()).unwrap();
    let late = receiver.recv().unwrap();
    assert!(matches!(late, Err(SearchError::Deadline { answered: 0, queries: 1 })), "{late:?}");
    let stopped = Arc::new(AtomicBool::new(true));
    let stopped = engine.search_documents(queries.rows.bytes(), &queries.offsets, &all(3), &stopped);
    assert!(matches!(stopped, Err(SearchError::Stopped { queries: 5, .. })), "{stopped:?}");
}

#[test]
fn searches_that_do_not_fit_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (with, without) = (dir.path().join("with"), dir.path().join("without"));
    let (base, queries) = (set(DType::I8, 30, 3), set(DType::I8, 3, 4));
    base.build(&config(&with)).unwrap();
    let stop = AtomicBool::new(false);
    let caller = Caller { progress: &Silent, stop: &stop, calibrate: None };
    build_for(Input::of(&base.rows), &config(&without), caller).unwrap();
    let (engine, plain) = (open_engine(&with), open_engine(&without));
    let refused = |params: DocumentParams| match search(&engine, &queries, &params) {
        Err(SearchError::Params(error)) => error,
        other => panic!("{other:?}"),
    };
    let good = DocumentParams::new(3);
    assert_eq!(refused(DocumentParams::new(0)), ParamsError::ZeroK);
    assert_eq!(refused(DocumentParams { max_lists: Some(0), ..good }), ParamsError::ZeroLists);
    assert_eq!(refused(DocumentParams { max_bytes: Some(0), ..good }), ParamsError::ZeroBytes);
    assert_eq!(refused(DocumentParams { tokens: Some(0), ..good }), ParamsError::ZeroTokens);
    let error = search(&plain, &queries, &good).unwrap_err();
    assert!(matches!(error, SearchError::Params(ParamsError::NoDocuments)), "{error}");
    let other = DocumentOffsets::new(&[0, 2], 2).unwrap();
    let error = engine.search_documents(queries.rows.bytes(), &other, &good, &Arc::default()).unwrap_err();
    assert!(matches!(error, SearchError::Offsets { covered: 2, .. }), "{error}");
    // Its vectors are no answers, and their positions are not those of tokens.
    for compare_by in [VectorsOf::Main, VectorsOf::Column] {
        let params = SearchParams { compare_by, ..SearchParams::new(3) };
        let error = engine.search(queries.rows.bytes(), &params).unwrap_err();
        assert!(matches!(error, SearchError::Params(ParamsError::Documents)), "{error}");
    }
    let lookup = Arc::new(Lookup::open(Arc::clone(engine.index())).unwrap());
    let error = engine.fetch(&lookup, &[1]).unwrap_err();
    assert!(matches!(error, SearchError::Params(ParamsError::Documents)), "{error}");
}

#[test]
fn documents_that_do_not_fit_are_refused_before_any_work() {
    let dir = tempfile::tempdir().unwrap();
    let (base, good) = (set(DType::I8, 30, 3), config(&dir.path().join("refused")));
    let refused = |input: Input<'_>, config: &BuildConfig| {
        let stop = AtomicBool::new(false);
        let caller = Caller { progress: &Silent, stop: &stop, calibrate: None };
        let error = build_for(input, config, caller).unwrap_err();
        assert!(!config.out.join("CURRENT").exists() && !config.out.join("scratch").exists());
        match error {
            BuildError::Parameter { parameter, .. } => parameter,
            error => panic!("{error}"),
        }
    };
    let less = DocumentOffsets::new(&[0, 9], 9).unwrap();
    assert_eq!(refused(Input { documents: Some(&less), ..base.input() }, &good), "--documents: rows covered");
    let l2 = BuildConfig { metric: Metric::L2, ..good.clone() };
    assert_eq!(refused(base.input(), &l2), "--metric");
    let full = BuildConfig { code: CodeSpec::Full, codes: Tier::Ssd, ..good.clone() };
    assert_eq!(refused(base.input(), &full), "--code");
    let column = Column { name: "fine", vectors: &base.rows, metric: Metric::L2, keep_main: false };
    assert_eq!(refused(Input { column: Some(column), ..base.input() }, &good), "--column");
}

#[test]
fn the_bytes_of_documents_depend_on_the_input_alone() {
    let dir = tempfile::tempdir().unwrap();
    let ids: Vec<u64> = (0..90).map(|document| (document * 7919 % 1009) << 33).collect();
    let base = Set { ids: Some(ids), attributes: Some(CellRows::random(90, 3)), ..set(DType::I8, 90, 3) };
    let whole = config(&dir.path().join("whole"));
    base.build(&whole).unwrap();
    let expected = identity(&whole.out);
    for (number, (threads, memory_bytes)) in [(1, 1 << 30), (4, 120 << 20)].into_iter().enumerate() {
        let other = BuildConfig { threads, memory_bytes, ..config(&dir.path().join(number.to_string())) };
        base.build(&other).unwrap();
        assert_same(&identity(&other.out), &expected, &format!("{threads} threads"));
    }
    let stopped = config(&dir.path().join("stopped"));
    build_phase_by_phase(&stopped, |config, caller| base.build_for(config, caller));
    assert_same(&identity(&stopped.out), &expected, "stopped and resumed");
    // Finished before, and asked for again: by the same offsets alone.
    let again = BuildConfig { resume: true, ..whole };
    base.build(&again).unwrap();
    let mut offsets: Vec<u64> = base.offsets.offsets().iter().map(|&offset| offset.into()).collect();
    offsets[6] -= 1;
    let other = Set { offsets: DocumentOffsets::new(&offsets, base.offsets.rows()).unwrap(), ..base.clone() };
    let error = other.build(&again).unwrap_err();
    assert!(matches!(error, BuildError::Exists { .. }), "{error}");
    // Begun, and gone on with by other offsets.
    let begun = config(&dir.path().join("begun"));
    let progress = StopAt::new(Moment::Phase("write"));
    let caller = Caller { progress: &progress, stop: &progress.stop, calibrate: None };
    assert!(matches!(base.build_for(&begun, caller), Err(BuildError::Stopped)));
    let begun = BuildConfig { resume: true, ..begun };
    let error = other.build(&begun).unwrap_err();
    assert!(matches!(error, BuildError::Resume { parameter: "--documents", .. }), "{error}");
    let mut other_ids = base.clone();
    other_ids.ids.as_mut().unwrap().swap(3, 4);
    for of in [other_ids, Set { ids: None, ..base.clone() }] {
        let error = of.build(&begun).unwrap_err();
        assert!(matches!(error, BuildError::Resume { parameter: "--ids", .. }), "{error}");
    }
    // A cell that changed meanwhile: no document gets what is known of no input.
    let mut other_cell = base.clone();
    let cells = &mut other_cell.attributes.as_mut().unwrap().cells;
    cells[7][3] = if cells[7][3] == Cell::I64(1) { Cell::I64(2) } else { Cell::I64(1) };
    let error = other_cell.build(&begun).unwrap_err();
    assert!(matches!(error, BuildError::Resume { .. }), "{error}");
    assert!(error.to_string().contains("content of attributes"), "{error}");
    assert!(Index::open(&begun.out).is_err(), "nothing is published");
    base.build(&begun).unwrap();
    verify_index(&begun.out, true).unwrap();
    let report = other.build(&config(&dir.path().join("other"))).unwrap();
    assert_ne!(report.manifest.uuid, Index::open(&begun.out).unwrap().manifest().uuid);
}

/// Where the body of a section begins in its file.
pub(crate) const BODY_AT: usize = 4096;

#[test]
fn damage_of_documents_is_found_and_answers_no_query() {
    let (dir, base, queries) = (tempfile::tempdir().unwrap(), set(DType::I8, 80, 3), set(DType::I8, 4, 4));
    base.build(&config(dir.path())).unwrap();
    let report = verify_index(dir.path(), true).unwrap();
    let index = Index::open(dir.path()).unwrap();
    let layout = index.shape_of(VectorsOf::Column).pages;
    let pages = index.segments()[0].ids.layout.pages(index.vectors()) + layout.pages(index.vectors());
    assert_eq!(report.hashes, pages + u64::from(index.lists()), "pages of tokens are counted");
    drop(index);
    let damage = |name: &str, at: usize| {
        let path = dir.path().join(name);
        let good = fs::read(&path).unwrap();
        let mut bad = good.clone();
        bad[at] ^= 4;
        fs::write(&path, &bad).unwrap();
        for deep in [false, true] {
            let VerifyError::Open(error) = verify_index(dir.path(), deep).unwrap_err() else { panic!() };
            assert!(error.to_string().contains(name), "deep {deep}: {error}");
        }
        (path, good)
    };
    for at in [BODY_AT, BODY_AT + 4 * 81 + 8] {
        let (path, good) = damage("documents-1", at);
        assert!(Index::open(dir.path()).unwrap_err().to_string().contains("documents-1"));
        fs::write(&path, &good[..good.len() - 4]).unwrap();
        assert!(Index::open(dir.path()).is_err());
        fs::remove_file(&path).unwrap();
        assert!(Index::open(dir.path()).unwrap_err().to_string().contains("documents-1"));
        fs::write(path, good).unwrap();
    }
    let (path, good) = damage("vectors.tokens-1", BODY_AT + layout.page_bytes() + 9);
    let engine = open_engine(dir.path());
    let first = layout.page_records() as u32;
    let on_page = (0..80)
        .filter(|&document| {
            let rows = base.offsets.rows_of(document);
            rows.start < 2 * first && rows.end > first
        })
        .count();
    let truth = base.truth(&queries, 80);
    for (query, answer) in search(&engine, &queries, &all(80)).unwrap().iter().enumerate() {
        assert_eq!((answer.missing.pages, answer.work.documents as usize), (1, 80 - on_page));
        // What is left is in its order, with its scores.
        let found: Vec<u64> = answer.neighbours.iter().map(|of| of.id).collect();
        let wanted: Vec<u64> = truth.ids_of(query).iter().copied().filter(|id| found.contains(id)).collect();
        assert_eq!((found.len(), &found), (80 - on_page, &wanted));
    }
    let damage = engine.damage();
    assert_eq!((damage.len(), damage[0].part), (1, DamagedPart::ColumnPage(1)));
    drop(engine);
    fs::write(path, good).unwrap();
    verify_index(dir.path(), true).unwrap();
}

/// Puts a manifest in force that says something else.
pub(crate) fn change(dir: &Path, change: impl FnOnce(&mut Manifest)) -> String {
    let store = FolderStore::new(dir);
    let mut manifest = Manifest::open(&store, current(&store).unwrap()).unwrap();
    change(&mut manifest);
    let bytes = manifest.to_bytes();
    fs::write(dir.join(manifest_name(manifest.version)), &bytes).unwrap();
    fs::write(dir.join(CURRENT), Current::of(manifest.version, &bytes).to_bytes()).unwrap();
    Index::open(dir).unwrap_err().to_string()
}

#[test]
fn a_manifest_that_contradicts_its_documents_is_refused() {
    let (dir, base) = (tempfile::tempdir().unwrap(), set(DType::I8, 30, 3));
    base.build(&config(dir.path())).unwrap();
    let refused = |by: fn(&mut Manifest)| {
        let copy = tempfile::tempdir().unwrap();
        crate::support::copy_folder(dir.path(), copy.path());
        change(copy.path(), by)
    };
    for (by, expected) in [
        (
            (|of: &mut Manifest| of.documents.as_mut().unwrap().count = 0) as fn(&mut Manifest),
            "count of documents",
        ),
        (|of| of.documents.as_mut().unwrap().count = 1 << 40, "count of documents"),
        (|of| of.documents.as_mut().unwrap().count = 29, "body_bytes"),
        (|of| of.documents.as_mut().unwrap().offsets_hash = "x".into(), "offsets_hash"),
        (|of| of.documents.as_mut().unwrap().offsets_hash = "0".repeat(32), "hash of offsets"),
        (|of| of.documents.as_mut().unwrap().ids_hash = Some("y".into()), "ids_hash"),
        (|of| of.documents.as_mut().unwrap().ids_hash = Some("0".repeat(32)), "body_bytes"),
        (|of| of.column = None, "column"),
        (|of| of.column.as_mut().unwrap().dim = 11, "column"),
        (|of| of.metric = "l2".into(), "metric"),
    ] {
        let error = refused(by);
        assert!(error.contains(expected), "{expected}: {error}");
    }
}
