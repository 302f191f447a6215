//! Tokens and attributes of documents by their ids.
use std::fs;
use std::sync::Arc;

use spandrel_engine::{FetchContent, FetchState, Fetched, Lookup, ParamsError, SearchError};
use spandrel_filter::Cell;
use spandrel_index::DType;
use spandrel_index::format::VectorsOf;
use spandrel_tests::CellRows;

use super::BODY_AT;
use super::set::{DIM, Set, config, set};
use crate::support::{TIERS, open_engine, open_engine_with};

const COUNT: usize = 60;

fn base() -> Set {
    let ids = (0..COUNT as u64).map(|document| document * 7919 % 10_007 + 5).collect();
    Set { ids: Some(ids), attributes: Some(CellRows::random(COUNT, 5)), ..set(DType::I8, COUNT as u64, 3) }
}

fn tokens(base: &Set, document: usize) -> &[u8] {
    let rows = base.offsets.rows_of(document);
    &base.rows.bytes()[rows.start as usize * DIM..rows.end as usize * DIM]
}

fn content(attributes: &[usize]) -> FetchContent {
    FetchContent {
        vectors: Some(VectorsOf::Column),
        attributes: attributes.to_vec(),
        cell_bytes_max: 1 << 20,
    }
}

#[test]
fn tokens_and_attributes_of_documents_are_fetched() {
    let (dir, base) = (tempfile::tempdir().unwrap(), base());
    base.build(&config(dir.path())).unwrap();
    let cells = &base.attributes.as_ref().unwrap().cells;
    for options in TIERS {
        let engine = open_engine_with(dir.path(), options);
        let lookup = Arc::new(Lookup::open(Arc::clone(engine.index())).unwrap());
        // The longest of all among others, one of them twice, and ids of none.
        let asked: Vec<usize> = (0..COUNT).rev().chain([5, 5, 40]).collect();
        let mut ids: Vec<u64> = asked.iter().map(|&document| base.id(document)).collect();
        ids.insert(0, 4);
        ids.push(u64::MAX);
        let found = engine.fetch_content(&lookup, &ids, content(&[3, 0])).unwrap();
        let Fetched { rows, row_counts, cells: given, states } = found;
        let expected: Vec<u8> = asked.iter().flat_map(|&document| tokens(&base, document)).copied().collect();
        assert!(rows == expected, "{options:?}");
        let counts: Vec<u32> = asked.iter().map(|&of| base.offsets.rows_of(of).len() as u32).collect();
        assert_eq!(row_counts, counts);
        let expected: Vec<Cell> =
            asked.iter().flat_map(|&of| [cells[of][3].clone(), cells[of][0].clone()]).collect();
        assert_eq!(given, expected);
        assert_eq!((states[0], states[ids.len() - 1]), (FetchState::Absent, FetchState::Absent));
        assert!(states[1..ids.len() - 1].iter().all(|&state| state == FetchState::Found));
        // Attributes alone.
        let alone = FetchContent { vectors: None, ..content(&[3]) };
        let Fetched { rows, row_counts, cells: given, .. } =
            engine.fetch_content(&lookup, &ids[1..3], alone).unwrap();
        assert!(rows.is_empty() && row_counts.is_empty());
        assert_eq!(given, [cells[59][3].clone(), cells[58][3].clone()]);
        // Vectors that are searched are not there.
        let error = engine.fetch(&lookup, &ids).unwrap_err();
        assert!(matches!(error, SearchError::Params(ParamsError::Documents)), "{error}");
    }
}

#[test]
fn a_damaged_page_of_tokens_costs_the_documents_on_it() {
    let (dir, base) = (tempfile::tempdir().unwrap(), base());
    base.build(&config(dir.path())).unwrap();
    let engine = open_engine(dir.path());
    let layout = engine.index().shape_of(VectorsOf::Column).pages;
    let path = dir.path().join("vectors.tokens-1");
    let mut bytes = fs::read(&path).unwrap();
    bytes[BODY_AT + layout.page_bytes() + 9] ^= 4;
    fs::write(&path, bytes).unwrap();
    let lookup = Arc::new(Lookup::open(Arc::clone(engine.index())).unwrap());
    let ids: Vec<u64> = (0..COUNT).map(|document| base.id(document)).collect();
    let Fetched { rows, row_counts, states, .. } = engine.fetch_content(&lookup, &ids, content(&[])).unwrap();
    let page = layout.page_records() as u32;
    let is_on_page = |document: usize| {
        let rows = base.offsets.rows_of(document);
        rows.start < 2 * page && rows.end > page
    };
    let whole: Vec<usize> = (0..COUNT).filter(|&document| !is_on_page(document)).collect();
    assert!(whole.len() < COUNT - 1, "several are on the page");
    for (document, &state) in states.iter().enumerate() {
        let expected = if is_on_page(document) { FetchState::Damaged } else { FetchState::Found };
        assert_eq!(state, expected, "document {document}");
    }
    assert!(rows == whole.iter().flat_map(|&of| tokens(&base, of)).copied().collect::<Vec<u8>>());
    assert_eq!(row_counts.len(), whole.len());
    assert_eq!(engine.damage_count(), 1);
}
