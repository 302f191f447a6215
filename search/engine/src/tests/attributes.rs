use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use spandrel_filter::{Attribute, AttributeType, Cell};
use spandrel_index::attributes::testing::TestAttribute;
use spandrel_index::format::VectorsOf;
use spandrel_index::testing::TestIndex;
use spandrel_index::{DType, Metric};

use super::{Made, config, engine, made};
use crate::{DamagedPart, Engine, FetchContent, FetchState, Fetched, Lookup, Neighbour, SearchError};

const COUNT: usize = 3000;

/// What row `row` has; a third of all have nothing.
fn cell(kind: AttributeType, row: usize) -> Cell {
    let number = row as i64 % 97 - 40;
    match kind {
        _ if row % 3 == 1 => Cell::Null,
        AttributeType::Keyword => Cell::Keyword(format!("value {}", row % 50)),
        AttributeType::Tags => {
            Cell::Tags((0..row % 7 + 1).map(|tag| format!("{:03}", tag * (row % 5 + 1))).collect())
        }
        AttributeType::Bool => Cell::Bool(row.is_multiple_of(2)),
        AttributeType::I64 => Cell::I64(number),
        AttributeType::F64 => Cell::F64(number as f64 / 7.0),
        AttributeType::Timestamp => Cell::Timestamp(1_700_000_000_000_000 + number),
    }
}

fn with_attributes(resident: bool) -> Made {
    let of = |kind: AttributeType| TestAttribute {
        attribute: Attribute { name: kind.name().to_owned(), kind },
        cells: (0..COUNT).map(|row| cell(kind, row)).collect(),
        resident,
    };
    let attributes = AttributeType::ALL.into_iter().map(of).collect();
    made(TestIndex { attributes, ..TestIndex::random(Metric::L2, DType::U8, 24, COUNT) })
}

fn wanted(attributes: &[usize]) -> FetchContent {
    FetchContent { vectors: None, attributes: attributes.to_vec(), cell_bytes_max: 1 << 24 }
}

fn lookup(made: &Made) -> Arc<Lookup> {
    Arc::new(Lookup::open(Arc::clone(&made.index)).unwrap())
}

#[test]
fn attributes_of_every_type_come_as_they_were_given() {
    for resident in [false, true] {
        let made = with_attributes(resident);
        let lookup = lookup(&made);
        let engine = Engine::open(Arc::clone(&made.index), config(2, 3)).unwrap();
        // The first fetch reads which positions have no number, the second has them at hand.
        for attributes in [&[0, 1, 2, 3, 4, 5][..], &[5, 0], &[3]] {
            for vectors in [None, Some(VectorsOf::Main)] {
                let content = FetchContent { vectors, ..wanted(attributes) };
                let mut ids = vec![u64::MAX];
                ids.extend(&made.input.ids[..501]);
                let Fetched { rows, cells, states, .. } =
                    engine.fetch_content(&lookup, &ids, content).unwrap();
                assert_eq!((states[0], states.len()), (FetchState::Absent, 502));
                assert!(states[1..].iter().all(|&state| state == FetchState::Found));
                let expected: Vec<Cell> = (0..501)
                    .flat_map(|row| attributes.iter().map(move |&kind| cell(AttributeType::ALL[kind], row)))
                    .collect();
                assert!(cells == expected, "{attributes:?} {resident}");
                assert_eq!(rows.len(), if vectors.is_some() { 501 * 24 } else { 0 });
            }
        }
        assert_eq!(engine.damage_count(), 0);
    }
}

#[test]
fn a_damaged_block_costs_the_ids_in_it_and_numbers_without_their_nulls_are_none() {
    let made = with_attributes(false);
    let lookup = lookup(&made);
    let stored = |kind: usize| made.index.segments()[0].attribute(kind).unwrap();
    let flip = |kind: usize, at: u64| {
        let file =
            std::fs::OpenOptions::new().read(true).write(true).open(stored(kind).blob().unwrap().path());
        let (file, mut byte) = (file.unwrap(), [0]);
        file.read_exact_at(&mut byte, at).unwrap();
        file.write_all_at(&[byte[0] ^ 1], at).unwrap();
    };
    // The block of the keyword of position 300, 256 positions.
    let piece = stored(0).cell_piece(300);
    flip(0, piece.offset + 7);
    let engine = engine(&made);
    let lost = |attributes: &[usize]| {
        let fetched = engine.fetch_content(&lookup, &made.input.ids, wanted(attributes)).unwrap();
        assert_eq!(fetched.cells.len() % attributes.len(), 0);
        let lost = fetched.states.iter().filter(|&&state| state == FetchState::Damaged).count();
        assert_eq!(fetched.cells.len(), (COUNT - lost) * attributes.len());
        (fetched, lost)
    };
    // Also once it is not read any more.
    for _ in 0..10 {
        assert_eq!(lost(&[0, 3]).1, 256);
    }
    assert_eq!(lost(&[3]).1, 0);
    let [damage] = &engine.damage()[..] else { panic!("{:?}", engine.damage()) };
    assert_eq!(damage.part, DamagedPart::Block { attribute: 0, block: piece.block });
    let text = damage.to_string();
    assert!(text.contains("attributes.0-1: block 1 of values") && text.contains("expected"), "{text}");

    // Neighbours of which something is lost are left out of answers, and count.
    let (mut fetched, _) = lost(&[0, 3]);
    let neighbours =
        made.input.ids.iter().map(|&id| Neighbour { id, distance: 0.0, estimated: false }).collect();
    let promise = Some(crate::Promise { target: 0.9, expected: Some(0.9) });
    let mut answers = [crate::Answer { neighbours, promise, ..crate::Answer::default() }];
    let mut given = fetched.hand_out(2);
    answers.iter_mut().for_each(|answer| given.give(answer));
    let [answer] = &answers;
    assert_eq!((answer.neighbours.len(), answer.missing.pages), (COUNT - 256, 256));
    assert_eq!(answer.promise.unwrap().expected, None, "nothing is known of what is left");
    for (neighbour, cells) in answer.neighbours.iter().zip(answer.cells.chunks(2)) {
        let row = made.input.ids.iter().position(|&id| id == neighbour.id).unwrap();
        assert_eq!(cells, [cell(AttributeType::Keyword, row), cell(AttributeType::I64, row)]);
    }

    // Without the positions that have no number nothing is known of that attribute.
    let at = match stored(4).nulls_at().unwrap() {
        spandrel_index::attributes::NullsAt::Ssd(piece) => piece.offset,
        at => panic!("{at:?} before it was read"),
    };
    flip(4, at + 9);
    assert_eq!(lost(&[4]).1, COUNT);
    assert!(engine.damage().iter().any(|d| d.part == DamagedPart::Block { attribute: 4, block: None }));
}

#[test]
fn values_take_no_more_memory_than_allowed() {
    let made = with_attributes(false);
    let (lookup, engine) = (lookup(&made), engine(&made));
    let places = wanted(&[0, 1]).cell_bytes(100);
    for (cell_bytes_max, fits) in [(places - 1, false), (places + 100, false), (places + 100_000, true)] {
        let content = FetchContent { cell_bytes_max, ..wanted(&[0, 1]) };
        match engine.fetch_content(&lookup, &made.input.ids[..100], content) {
            Ok(fetched) => assert!(fits && fetched.cells.len() == 200),
            Err(SearchError::Cells { bytes_max }) => assert!(!fits && bytes_max == cell_bytes_max),
            Err(error) => panic!("{error}"),
        }
    }
}
