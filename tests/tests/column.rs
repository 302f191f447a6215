//! A column of vectors by which candidates are compared, beside those that lists and codes are made of.
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use spandrel_builder::testing::{Moment, StopAt};
use spandrel_builder::{BuildConfig, BuildError, Caller, Silent};
use spandrel_datasets::Rows;
use spandrel_engine::{
    Answer, DamagedPart, Distances, Engine, FetchContent, FetchState, Lookup, ParamsError, QueryError,
    QueryRows, RangeParams, Rerank, SearchError, SearchParams,
};
use spandrel_filter::{Cell, Comparison, Filter, Value};
use spandrel_index::attributes::{CompileLimits, compile};
use spandrel_index::codes::CodeSpec;
use spandrel_index::format::VectorsOf;
use spandrel_index::{DType, Index, Matches, Metric, OpenOptions, Tier, VerifyError};
use spandrel_tests::{Base, CellRows, ColumnRows, clustered, coded};

use crate::support::{
    TIERS, assert_exact, assert_same, build_phase_by_phase, copy_folder, every_list, identity, open_engine,
    open_engine_with, verify_index,
};

const COUNT: usize = 700;
const DIM: usize = 8;
const CODE: CodeSpec = CodeSpec::RaBitQ { bits: 2 };

fn column(dtype: DType, dim: usize, metric: Metric) -> ColumnRows {
    ColumnRows { rows: clustered(dtype, dim, COUNT, 11), metric, keep_main: false }
}

fn base(column: ColumnRows) -> Base {
    let ids = (0..COUNT as u64).map(|row| 10_000 - 7 * row).collect();
    Base { column: Some(column), ..Base::with_ids(clustered(DType::U8, DIM, COUNT, 3), ids) }
}

fn config(out: &Path) -> BuildConfig {
    coded(Metric::L2, CODE, Tier::Memory, out)
}

/// The base of the column's vectors alone, whose brute force is the truth.
fn fine(base: &Base) -> (Base, Metric) {
    let ColumnRows { rows, metric, .. } = base.column.clone().unwrap();
    (Base::with_ids(rows, base.ids.clone().unwrap()), metric)
}

/// A search in the column that compares every vector, for as long as nothing is set otherwise.
fn by_column(k: usize) -> SearchParams {
    SearchParams { compare_by: VectorsOf::Column, ..every_list(k) }
}

fn search(
    engine: &Engine,
    queries: (&Rows, &Rows),
    params: &SearchParams,
) -> Result<Vec<Answer>, SearchError> {
    let rows = QueryRows { main: queries.0.bytes(), column: Some(queries.1.bytes()) };
    engine.search_until(rows, params, &Arc::new(AtomicBool::new(false)))
}

#[test]
fn every_candidate_compared_gives_the_nearest_of_the_column() {
    for (number, (dtype, dim, metric)) in [
        (DType::F16, 20, Metric::InnerProduct),
        (DType::F32, 5, Metric::Cosine),
        (DType::U8, 8, Metric::L2),
        (DType::I8, 1200, Metric::L2),
    ]
    .into_iter()
    .enumerate()
    {
        let (dir, base) = (tempfile::tempdir().unwrap(), base(column(dtype, dim, metric)));
        let codes = if number == 1 { Tier::Ssd } else { Tier::Memory };
        base.build(&BuildConfig { codes, ..config(dir.path()) }).unwrap();
        let (fine, metric) = fine(&base);
        let queries = (&clustered(DType::U8, DIM, 12, 4), &clustered(dtype, dim, 12, 12));
        for options in TIERS {
            let engine = open_engine_with(dir.path(), options);
            let answers = search(&engine, queries, &by_column(10)).unwrap();
            for (query, answer) in answers.iter().enumerate() {
                let what = format!("{dtype}, {metric}, {options:?}: query {query}");
                assert_exact(metric, &fine, queries.1.row(query), answer, &what);
                assert_eq!(answer.neighbours.len(), 10, "{what}");
                assert_eq!((answer.work.reranked, answer.missing.parts()), (COUNT as u32, 0), "{what}");
            }
        }
    }
}

/// Errors of codes say nothing of the column: what is compared is a number of the nearest by their codes, and more of them only add.
#[test]
fn candidates_are_compared_by_count() {
    let (dir, base) = (tempfile::tempdir().unwrap(), base(column(DType::F32, 12, Metric::L2)));
    base.build(&config(dir.path())).unwrap();
    let engine = open_engine(dir.path());
    let queries = (&clustered(DType::U8, DIM, 20, 4), &clustered(DType::F32, 12, 20, 12));
    let mut before: Option<Vec<Answer>> = None;
    for count in [10, 30, 100, 300] {
        let rerank = Some(Rerank::Count(count));
        let answers = search(&engine, queries, &SearchParams { rerank, ..by_column(10) }).unwrap();
        for (number, answer) in answers.iter().enumerate() {
            assert_eq!((answer.work.reranked, answer.neighbours.len()), (count, 10));
            assert!(answer.promise.is_none(), "the query names its own lists");
            if let Some(before) = &before {
                let pairs = before[number].neighbours.iter().zip(&answer.neighbours);
                assert!(pairs.clone().all(|(less, more)| more.distance <= less.distance), "{count}");
            }
        }
        before = Some(answers);
    }
    let usual = SearchParams { compare_by: VectorsOf::Column, ..SearchParams::new(3) };
    for answer in search(&engine, queries, &usual).unwrap() {
        assert_eq!(answer.work.reranked, 100);
        assert_eq!(answer.promise.map(|promise| promise.expected), Some(None), "no recall is promised");
    }
    let many = search(&engine, queries, &SearchParams { k: 40, ..usual }).unwrap();
    assert!(many.iter().all(|answer| answer.work.reranked == 400));
}

#[test]
fn vectors_that_are_searched_answer_alone_where_they_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let (kept, gone) = (dir.path().join("kept"), dir.path().join("gone"));
    let without = base(column(DType::F16, 20, Metric::InnerProduct));
    let mut with = without.clone();
    with.column.as_mut().unwrap().keep_main = true;
    with.build_watched(&config(&kept), Some(&spandrel_tests::CALIBRATOR), &Silent).unwrap();
    without.build_watched(&config(&gone), Some(&spandrel_tests::CALIBRATOR), &Silent).unwrap();
    let queries = clustered(DType::U8, DIM, 10, 4);
    let engine = open_engine(&kept);
    for (query, answer) in engine.search(queries.bytes(), &every_list(10)).unwrap().iter().enumerate() {
        assert_exact(Metric::L2, &with, queries.row(query), answer, "kept");
    }
    // What was found of the vectors that are searched is promised of them alone.
    let usual = engine.search(queries.bytes(), &SearchParams::new(10)).unwrap();
    assert!(usual[0].promise.unwrap().expected.is_some());
    let by_fine = SearchParams { compare_by: VectorsOf::Column, ..SearchParams::new(10) };
    let fine = clustered(DType::F16, 20, 10, 12);
    assert!(search(&engine, (&queries, &fine), &by_fine).unwrap()[0].promise.unwrap().expected.is_none());
    let engine = open_engine(&gone);
    assert!(engine.index().recall().is_none(), "there is nothing to calibrate with");
    let refused = |error| matches!(error, ParamsError::NotKept { column } if column == "fine");
    let Err(SearchError::Params(error)) = engine.search(queries.bytes(), &SearchParams::new(10)) else {
        panic!()
    };
    assert!(refused(error));
    let query = queries.row(0).to_vec().into();
    let within =
        spandrel_engine::RangeRequest { query, params: RangeParams::new(1.0), deadline: None, stop: None };
    let Err(SearchError::Params(error)) = engine.range(within) else { panic!() };
    assert!(refused(error));
}

/// The vectors whose number is below 0.
fn negative(index: &Index) -> Arc<Matches> {
    let filter = Filter::Compare { name: "i64".into(), comparison: Comparison::Less, value: Value::I64(0) };
    let bound = filter.bind(index.schema()).unwrap();
    let stop = AtomicBool::new(false);
    let limits = CompileLimits { memory_bytes: 1 << 20, deadline: None, stop: &stop };
    Arc::new(compile(index, &bound, limits).unwrap())
}

#[test]
fn filters_hold_however_matches_are_searched() {
    let (dir, mut base) = (tempfile::tempdir().unwrap(), base(column(DType::F32, 12, Metric::L2)));
    base.attributes = Some(CellRows::random(COUNT, 5));
    base.build(&config(dir.path())).unwrap();
    let (fine, metric) = fine(&base);
    let engine = open_engine(dir.path());
    let queries = (&clustered(DType::U8, DIM, 8, 4), &clustered(DType::F32, 12, 8, 12));
    let cells = &base.attributes.as_ref().unwrap().cells;
    let rows = (0..COUNT).filter(|&row| matches!(cells[row][3], Cell::I64(number) if number < 0));
    let vectors = rows.clone().flat_map(|row| fine.rows.row(row)).copied().collect();
    let ids = rows.map(|row| fine.id(row)).collect();
    let some = Base::with_ids(Rows::new(DType::F32, 12, vectors).unwrap(), ids);
    for plan in spandrel_engine::FilterPlan::ALL {
        let filter = Some(negative(engine.index()));
        let params = SearchParams { filter, filter_plan: Some(plan), ..by_column(10) };
        for (query, answer) in search(&engine, queries, &params).unwrap().iter().enumerate() {
            assert_exact(metric, &some, queries.1.row(query), answer, &format!("{plan:?}: query {query}"));
            assert_eq!(answer.neighbours.len(), 10);
        }
    }
}

#[test]
fn vectors_of_the_column_are_fetched_by_id() {
    let (dir, base) = (tempfile::tempdir().unwrap(), base(column(DType::F16, 20, Metric::Cosine)));
    base.build(&config(dir.path())).unwrap();
    let (fine, _) = fine(&base);
    for options in TIERS {
        let engine = open_engine_with(dir.path(), options);
        let lookup = Arc::new(Lookup::open(Arc::clone(engine.index())).unwrap());
        let ids = [fine.id(5), 3, fine.id(COUNT - 1), fine.id(5)];
        let content = |of| FetchContent { vectors: Some(of), attributes: Vec::new(), cell_bytes_max: 0 };
        let fetched = engine.fetch_content(&lookup, &ids, content(VectorsOf::Column)).unwrap();
        let rows = [5, COUNT - 1, 5].map(|row| fine.rows.row(row)).concat();
        assert!(fetched.rows == rows, "{options:?}");
        assert_eq!(fetched.states[1], FetchState::Absent);
        let Err(SearchError::Params(error)) = engine.fetch(&lookup, &ids) else { panic!("{options:?}") };
        assert!(matches!(error, ParamsError::NotKept { .. }), "{error}");
    }
}

#[test]
fn queries_that_cannot_be_compared_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (with, without) = (dir.path().join("with"), dir.path().join("without"));
    let base = base(column(DType::F32, 12, Metric::Cosine));
    base.build(&config(&with)).unwrap();
    Base::new(base.rows.clone()).build(&config(&without)).unwrap();
    let engine = open_engine_with(&with, OpenOptions { ids: true, ..OpenOptions::default() });
    let coarse = clustered(DType::U8, DIM, 3, 4);
    let fine = |count| clustered(DType::F32, 12, count, 12);
    let params = |change: fn(SearchParams) -> SearchParams| change(by_column(3));
    let refused = |params: &SearchParams| match search(&engine, (&coarse, &fine(3)), params) {
        Err(SearchError::Params(error)) => error,
        other => panic!("{other:?}"),
    };
    let any = params(|p| SearchParams { distances: Distances::Any, ..p });
    assert_eq!(refused(&any), ParamsError::ColumnEstimates);
    let errors = params(|p| SearchParams { rerank: Some(Rerank::Errors(1.0)), ..p });
    assert_eq!(refused(&errors), ParamsError::ColumnErrors);
    let no_column = search(&open_engine(&without), (&coarse, &fine(3)), &by_column(3));
    assert!(matches!(no_column, Err(SearchError::Params(ParamsError::NoColumn))), "{no_column:?}");
    let few = search(&engine, (&coarse, &fine(2)), &by_column(3));
    assert!(
        matches!(few, Err(SearchError::Query(QueryError::ColumnCount { column: 2, queries: 3 }))),
        "{few:?}"
    );
    let none = engine.search(coarse.bytes(), &by_column(3));
    assert!(matches!(none, Err(SearchError::Query(QueryError::ColumnCount { column: 0, .. }))), "{none:?}");
    let zero = Rows::new(DType::F32, 12, [fine(2).bytes(), &[0; 48]].concat()).unwrap();
    let zero = search(&engine, (&coarse, &zero), &by_column(3)).unwrap_err();
    assert_eq!(zero.to_string(), "column: query 2: a zero vector, which has no cosine");
}

#[test]
fn inputs_that_do_not_fit_are_refused_before_any_work() {
    let dir = tempfile::tempdir().unwrap();
    let good = column(DType::F32, 12, Metric::L2);
    let refused = |column: ColumnRows, config: &BuildConfig| {
        let refused = base(column).build(config).unwrap_err();
        assert!(!config.out.join("CURRENT").exists() && !config.out.join("scratch").exists());
        refused
    };
    let out = config(&dir.path().join("refused"));
    let short = ColumnRows { rows: clustered(DType::F32, 12, COUNT - 1, 11), ..good.clone() };
    let error = refused(short, &out).to_string();
    assert_eq!(error, "--column: number of rows is 699, expected 700, one for each vector of --base");
    let full = BuildConfig { code: CodeSpec::Full, codes: Tier::Ssd, ..out.clone() };
    let error = refused(good.clone(), &full);
    assert!(matches!(error, BuildError::Parameter { parameter: "--code", .. }), "{error}");
    let mut bytes = good.rows.bytes().to_vec();
    bytes[48 * 9 + 4..48 * 9 + 8].copy_from_slice(&f32::NAN.to_le_bytes());
    let nan = ColumnRows { rows: Rows::new(DType::F32, 12, bytes).unwrap(), ..good };
    let error = refused(nan, &out);
    assert!(matches!(error, BuildError::Value { row: 9, .. }), "{error}");
}

#[test]
fn the_bytes_depend_on_the_input_alone() {
    let dir = tempfile::tempdir().unwrap();
    let mut base = base(column(DType::F16, 20, Metric::Cosine));
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
    // Finished before, and asked for again.
    base.build(&BuildConfig { resume: true, ..whole.clone() }).unwrap();
    base.column.as_mut().unwrap().rows = clustered(DType::F16, 20, COUNT, 12);
    let other = base.build(&BuildConfig { resume: true, ..whole.clone() }).unwrap_err();
    assert!(matches!(other, BuildError::Exists { .. }), "{other}");
    let again = base.build(&BuildConfig { out: dir.path().join("other"), ..whole }).unwrap();
    assert_ne!(expected["CURRENT"], fs::read(dir.path().join("other/CURRENT")).unwrap());
    let before = Index::open(&dir.path().join("whole")).unwrap();
    assert_ne!(before.manifest().uuid, again.manifest.uuid, "the column is part of the identity");
}

#[test]
fn a_build_goes_on_with_its_own_column_alone() {
    let dir = tempfile::tempdir().unwrap();
    let mut base = base(column(DType::F16, 20, Metric::Cosine));
    let config = config(dir.path());
    let progress = StopAt::new(Moment::Phase("write"));
    let caller = Caller { progress: &progress, stop: &progress.stop, calibrate: None };
    assert!(matches!(base.build_for(&config, caller), Err(BuildError::Stopped)));
    let good = base.column.clone();
    let resumed = BuildConfig { resume: true, ..config };
    let rows = clustered(DType::F16, 20, COUNT, 12);
    base.column = Some(ColumnRows { rows, ..good.clone().unwrap() });
    let refused = base.build(&resumed).unwrap_err().to_string();
    assert!(refused.contains("content of the column"), "{refused}");
    base.column = None;
    let refused = base.build(&resumed).unwrap_err().to_string();
    assert!(refused.contains("--column"), "{refused}");
    base.column = good;
    base.build(&resumed).unwrap();
    verify_index(dir.path(), true).unwrap();
}

/// The place of the first page of the column in its file.
const PAGES_AT: usize = 4096;

#[test]
fn damage_of_the_column_is_found_and_answers_no_query() {
    let (dir, base) = (tempfile::tempdir().unwrap(), base(column(DType::F16, 20, Metric::L2)));
    let whole = dir.path().join("whole");
    base.build(&config(&whole)).unwrap();
    let report = verify_index(&whole, true).unwrap();
    let index = Index::open(&whole).unwrap();
    let layout = index.shape_of(VectorsOf::Column).pages;
    let pages = index.segments()[0].ids.layout.pages(COUNT as u64) + layout.pages(COUNT as u64);
    assert_eq!(report.hashes, pages + u64::from(index.lists()), "pages of the column are counted");
    let path = whole.join("vectors.fine-1");
    let good = fs::read(&path).unwrap();
    let mut bad = good.clone();
    bad[PAGES_AT + layout.page_bytes() + 9] ^= 4;
    fs::write(&path, &bad).unwrap();
    for deep in [false, true] {
        let VerifyError::Open(error) = verify_index(&whole, deep).unwrap_err() else { panic!() };
        assert!(error.to_string().contains("vectors.fine-1"), "deep {deep}: {error}");
    }
    let engine = open_engine(&whole);
    let queries = (&clustered(DType::U8, DIM, 4, 4), &clustered(DType::F16, 20, 4, 12));
    for answer in search(&engine, queries, &by_column(COUNT)).unwrap() {
        assert_eq!(answer.missing.pages, 1);
        assert_eq!(answer.neighbours.len(), COUNT - layout.page_records());
    }
    let damage = engine.damage();
    assert_eq!((damage.len(), damage[0].part, damage[0].path == path), (1, DamagedPart::ColumnPage(1), true));
    drop(engine);
    // Truncated, and gone.
    fs::write(&path, &good[..good.len() - 512]).unwrap();
    assert!(Index::open(&whole).is_err());
    fs::remove_file(&path).unwrap();
    assert!(Index::open(&whole).unwrap_err().to_string().contains("vectors.fine-1"));
    // The same file of another index.
    let other = dir.path().join("other");
    copy_folder(&whole, &other);
    let seed = BuildConfig { seed: 8, ..config(&dir.path().join("seed")) };
    base.build(&seed).unwrap();
    fs::copy(seed.out.join("vectors.fine-1"), other.join("vectors.fine-1")).unwrap();
    assert!(Index::open(&other).unwrap_err().to_string().contains("uuid"));
    fs::write(&path, &good).unwrap();
    verify_index(&whole, true).unwrap();
}
