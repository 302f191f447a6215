//! Documents with ids of their own.
use std::fs;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use spandrel_builder::{BuildConfig, BuildError, Caller, IdSource, Input, Silent, build_for};
use spandrel_engine::{FetchContent, Lookup};
use spandrel_filter::Cell;
use spandrel_index::{DType, Index, SourceError, VerifyError};
use spandrel_tests::CellRows;

use super::BODY_AT;
use super::set::{Set, all, config, search, set};
use crate::support::{assert_same, build_phase_by_phase, identity, open_engine, verify_index};

const COUNT: usize = 80;

/// Ids that neither ascend nor are dense.
fn with_ids() -> Set {
    let ids = (0..COUNT as u64).map(|document| u64::MAX - ((document * 7919 % 1009) << 40)).collect();
    Set { ids: Some(ids), ..set(DType::I8, COUNT as u64, 3) }
}

#[test]
fn documents_answer_with_ids_of_their_own() {
    let (dir, base, queries) = (tempfile::tempdir().unwrap(), with_ids(), set(DType::I8, 5, 4));
    base.build(&config(dir.path())).unwrap();
    verify_index(dir.path(), true).unwrap();
    let engine = open_engine(dir.path());
    let truth = base.truth(&queries, 10);
    for (query, answer) in search(&engine, &queries, &all(10)).unwrap().iter().enumerate() {
        let found: Vec<u64> = answer.neighbours.iter().map(|of| of.id).collect();
        let wanted: Vec<u64> = truth.ids_of(query).iter().map(|&of| base.id(of as usize)).collect();
        assert_eq!(found, wanted, "query {query}");
    }
    let documents = engine.index().documents().unwrap();
    for document in 0..COUNT {
        assert_eq!(documents.id(document as u32), base.id(document));
        assert_eq!(documents.find(base.id(document)), Some(document as u32));
    }
    assert_eq!((documents.find(3), documents.find(u64::MAX - 1)), (None, None));
    let memory = engine.index().memory().documents as u64;
    assert_eq!(memory, 4 * (COUNT as u64 + 1 + base.offsets.rows()) + 12 * COUNT as u64);
    // Without them numbers are ids.
    let (plain, other) = (Set { ids: None, ..base.clone() }, tempfile::tempdir().unwrap());
    plain.build(&config(other.path())).unwrap();
    let index = Index::open(other.path()).unwrap();
    let documents = index.documents().unwrap();
    assert_eq!((documents.id(7), documents.find(79), documents.find(80)), (7, Some(79), None));
    assert_ne!(index.uuid(), engine.index().uuid());
}

/// A cell as an index gives it back: tags in the order of their bytes.
fn in_order(cell: &Cell) -> Cell {
    let Cell::Tags(tags) = cell else { return cell.clone() };
    let mut tags: Vec<&str> = tags.iter().collect();
    tags.sort_unstable();
    Cell::Tags(tags.into_iter().collect())
}

#[test]
fn encoded_documents_have_ids_and_attributes_of_their_own() {
    let (dir, queries) = (tempfile::tempdir().unwrap(), set(DType::I8, 5, 4));
    let ids = (0..60).map(|document| u64::MAX - ((document * 7919 % 1009) << 40)).collect();
    let (attributes, encoding) =
        (Some(CellRows::random(60, 5)), Some("muvera:R=10,k=3,d=8".parse().unwrap()));
    let base = Set { ids: Some(ids), attributes, encoding, ..set(DType::I8, 60, 3) };
    let whole = config(&dir.path().join("whole"));
    base.build(&whole).unwrap();
    verify_index(&whole.out, true).unwrap();
    let stopped = config(&dir.path().join("stopped"));
    build_phase_by_phase(&stopped, |config, caller| base.build_for(config, caller));
    assert_same(&identity(&stopped.out), &identity(&whole.out), "stopped and resumed");
    let (engine, truth) = (open_engine(&whole.out), base.truth(&queries, 10));
    let (lookup, cells) = (
        Arc::new(Lookup::open(Arc::clone(engine.index())).unwrap()),
        &base.attributes.as_ref().unwrap().cells,
    );
    for (query, answer) in search(&engine, &queries, &all(10)).unwrap().iter().enumerate() {
        let documents: Vec<usize> = truth.ids_of(query).iter().map(|&of| of as usize).collect();
        let found: Vec<u64> = answer.neighbours.iter().map(|of| of.id).collect();
        assert_eq!(found, documents.iter().map(|&of| base.id(of)).collect::<Vec<u64>>(), "query {query}");
        let attributes = (0..cells[0].len()).collect();
        let content = FetchContent { vectors: None, attributes, cell_bytes_max: 1 << 20 };
        let fetched = engine.fetch_content(&lookup, &found, content).unwrap();
        let expected: Vec<Cell> = documents.iter().flat_map(|&of| cells[of].iter().map(in_order)).collect();
        assert_eq!(fetched.cells, expected, "query {query}");
    }
}

#[test]
fn ids_of_documents_that_do_not_fit_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let refused = |change: fn(&mut Vec<u64>)| {
        let mut base = with_ids();
        change(base.ids.as_mut().unwrap());
        let error = base.build(&config(&dir.path().join("refused"))).unwrap_err();
        assert!(Index::open(&dir.path().join("refused")).is_err());
        error
    };
    let twice = refused(|ids| ids[70] = ids[3]);
    assert!(matches!(twice, BuildError::DuplicateId { id } if id == with_ids().id(3)), "{twice}");
    // An id for each document, not for each vector.
    let many = refused(|ids| *ids = (0..1000).collect());
    assert!(matches!(many, BuildError::Parameter { parameter: "--ids: number of ids", .. }), "{many}");
    let text = refused(|ids| ids.truncate(79)).to_string();
    assert!(text.contains("79") && text.contains("80, one for each document"), "{text}");
}

/// Ids that nobody may read.
struct Unread;

impl IdSource for Unread {
    fn len(&self) -> u64 {
        COUNT as u64
    }

    fn read_ids(&self, first: u64, _: &mut [u64]) -> Result<(), SourceError> {
        panic!("id {first} was read before the memory was checked")
    }
}

/// They take 8 bytes each, which the plan counts.
#[test]
fn ids_of_documents_are_read_after_the_memory_was_checked() {
    let (dir, base) = (tempfile::tempdir().unwrap(), set(DType::I8, COUNT as u64, 3));
    let little = BuildConfig { memory_bytes: 1 << 20, ..config(dir.path()) };
    let stop = AtomicBool::new(false);
    let caller = Caller { progress: &Silent, stop: &stop, calibrate: None };
    let error = build_for(Input { ids: Some(&Unread), ..base.input() }, &little, caller).unwrap_err();
    assert!(matches!(error, BuildError::Memory { allowed, .. } if allowed == 1 << 20), "{error}");
}

#[test]
fn damage_of_ids_of_documents_is_found() {
    let (dir, base) = (tempfile::tempdir().unwrap(), with_ids());
    base.build(&config(dir.path())).unwrap();
    let path = dir.path().join("documents-1");
    let good = fs::read(&path).unwrap();
    let first = BODY_AT + 4 * (COUNT + 1 + base.offsets.rows() as usize);
    assert_eq!(good.len(), first + 8 * COUNT);
    for at in [first, good.len() - 1] {
        let mut bad = good.clone();
        bad[at] ^= 4;
        fs::write(&path, &bad).unwrap();
        assert!(Index::open(dir.path()).unwrap_err().to_string().contains("documents-1"));
        let VerifyError::Open(error) = verify_index(dir.path(), false).unwrap_err() else { panic!() };
        assert!(error.to_string().contains("documents-1"), "{error}");
    }
    fs::write(&path, &good[..first]).unwrap();
    assert!(Index::open(dir.path()).is_err());
    fs::write(&path, good).unwrap();
    verify_index(dir.path(), true).unwrap();
}
