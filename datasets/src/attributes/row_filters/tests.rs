use std::fs;
use std::sync::atomic::AtomicBool;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use spandrel_filter::{Attribute, AttributeType, Filter, Row, Schema, Tags};

use super::*;
use crate::file::IdFile;

/// Rows of random cells, some of them null.
struct Made {
    schema: Schema,
    rows: Vec<Vec<Cell>>,
}

struct MadeRow<'a> {
    id: u64,
    cells: &'a [Cell],
}

impl Row for MadeRow<'_> {
    fn id(&self) -> u64 {
        self.id
    }

    fn cell(&self, attribute: usize) -> &Cell {
        &self.cells[attribute]
    }
}

impl Made {
    fn new(rows: usize, seed: u64) -> Made {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let attribute = |kind: AttributeType| Attribute { name: kind.to_string(), kind };
        let schema = Schema::new(AttributeType::ALL.into_iter().map(attribute).collect()).unwrap();
        let mut cell = |kind: AttributeType| match (rng.random_range(0..4), kind) {
            (0, _) => Cell::Null,
            (_, AttributeType::Keyword) => Cell::Keyword(rng.random_range(0..5).to_string()),
            (_, AttributeType::Tags) => {
                let tags: Vec<i32> = (0..5).filter(|_| rng.random_range(0..3) == 0).collect();
                if tags.is_empty() { Cell::Null } else { Cell::Tags(tags.iter().collect::<Tags>()) }
            }
            (_, AttributeType::Bool) => Cell::Bool(rng.random()),
            (_, AttributeType::I64) => Cell::I64(rng.random_range(-5..5)),
            (_, AttributeType::F64) => Cell::F64(f64::from(rng.random_range(-10..10)) / 4.0),
            (_, AttributeType::Timestamp) => Cell::Timestamp(rng.random_range(-5..5)),
        };
        let rows = (0..rows).map(|_| AttributeType::ALL.into_iter().map(&mut cell).collect());
        Made { rows: rows.collect(), schema }
    }
}

impl AttributeSource for Made {
    fn schema(&self) -> &Schema {
        &self.schema
    }

    fn len(&self) -> u64 {
        self.rows.len() as u64
    }

    fn scan(
        &self,
        each: &mut dyn FnMut(u64, &[Cell]) -> ControlFlow<()>,
    ) -> Result<(), AttributeSourceError> {
        let has_value = |cells: &[Cell]| cells.iter().any(|cell| *cell != Cell::Null);
        let rows = (0..).zip(&self.rows).filter(|(_, cells)| has_value(cells));
        let _ = rows.map(|(row, cells)| each(row, cells)).find(ControlFlow::is_break);
        Ok(())
    }

    fn name(&self) -> String {
        "made".to_owned()
    }
}

const FILTERS: [&str; 24] = [
    "keyword = '1'",
    "keyword != '1'",
    "keyword in ['0', '4', 'none']",
    "keyword not in ['0']",
    "keyword is null",
    "keyword exists",
    "tags contains 2",
    "tags contains any [1, 'none', 3]",
    "tags contains all [1, 2]",
    "tags contains all [1, 'none']",
    "tags is null and bool is null",
    "bool = true",
    "bool != true",
    "i64 = 2.5",
    "i64 > -2.5 and i64 <= 3",
    "i64 != 0",
    "i64 is null",
    "f64 between -1 and 1.25",
    "f64 not in [0, 0.25]",
    "timestamp < '1970-01-01T00:00:00.000002Z'",
    "not (i64 = 1)",
    "id in [0, 7, 64, 127, 1000]",
    "not (id in [3] or (keyword = '2' and not tags contains 1) or f64 is null)",
    "i64 is null and i64 = 1 or not (bool = true or bool = false or bool is null)",
];

fn bound(texts: &[&str], schema: &Schema) -> BoundFilters {
    let bind = |text: &&str| Filter::parse(text).unwrap().bind(schema).unwrap();
    BoundFilters { distinct: texts.iter().map(bind).collect(), of_query: (0..texts.len()).collect() }
}

#[test]
fn rows_that_match_are_those_of_a_plain_look_at_each() {
    for count in [1, 63, 64, 65, 130, 3000] {
        let made = Made::new(count, count as u64);
        let filters = bound(&FILTERS, &made.schema);
        let base = BaseRows { rows: count as u64, ids: None };
        let read = RowFilters::read(&made, filters, base, Watch::none()).unwrap();
        assert_eq!((read.queries(), read.rows()), (FILTERS.len(), count as u64));
        for (number, text) in FILTERS.iter().enumerate() {
            let filter = &read.filters.distinct[number];
            let matches = |(row, cells): (u64, &Vec<Cell>)| {
                filter.matches(&MadeRow { id: row, cells }).then_some(row as u32)
            };
            let expected: Vec<u32> = (0..).zip(&made.rows).filter_map(matches).collect();
            let found: Vec<u32> = read.matches(number).within(0..u32::MAX).collect();
            assert_eq!(found, expected, "{text} over {count} rows");
        }
    }
}

#[test]
fn ids_are_those_of_the_vectors() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ids.ibin");
    let ids: Vec<u32> = (0..130).map(|row| 1000 - row).collect();
    let bytes: Vec<u8> = [130, 1].iter().chain(&ids).flat_map(|word| word.to_le_bytes()).collect();
    fs::write(&path, bytes).unwrap();
    let file = IdFile::open(&path).unwrap();
    let made = Made::new(130, 1);
    let base = BaseRows { rows: 130, ids: Some(&file) };
    let filters = bound(&["id in [1000, 5, 900]", "id != 871"], &made.schema);
    let read = RowFilters::read(&made, filters, base, Watch::none()).unwrap();
    assert_eq!(read.matches(0).within(0..u32::MAX).collect::<Vec<u32>>(), [0, 100]);
    assert_eq!((read.matches(1).count(), read.matches(1).contains(129)), (129, false));
}

#[test]
fn the_stop_flag_ends_the_scan() {
    let made = Made::new(10, 1);
    let watch = Watch { progress: &|_, _| {}, stop: &AtomicBool::new(true) };
    let read = RowFilters::read(
        &made,
        bound(&["bool = true"], &made.schema),
        BaseRows { rows: 10, ids: None },
        watch,
    );
    assert!(matches!(read, Err(RowFiltersError::Stopped(_))));
}
