//! The index that is filtered, row by row.
use std::collections::BTreeSet;
use std::sync::OnceLock;

use spandrel_filter::{Attribute, AttributeType, Cell};
use spandrel_index::attributes::testing::TestAttribute;
use spandrel_index::testing::TestIndex;
use spandrel_index::{DType, Metric};
use tempfile::TempDir;

use crate::support::Server;

const VECTORS: u64 = 3000;
pub(super) const DIM: usize = 16;

/// What a vector has beside its elements.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) id: u64,
    pub(super) colour: Option<&'static str>,
    pub(super) tags: Vec<&'static str>,
    pub(super) new: Option<bool>,
    pub(super) stock: Option<i64>,
    pub(super) price: Option<f64>,
    /// Seconds since 1970.
    pub(super) made: Option<i64>,
}

/// The row of an id: a number for each attribute, and every seventh without.
pub(super) fn row(id: u64) -> Row {
    let of = |attribute: u64| {
        let mixed = (id * 8 + attribute + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed ^ mixed >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 33
    };
    let some = |attribute| Some(of(attribute)).filter(|number| number % 7 > 0);
    let tags = ["red", "blue", "büro", "a \"quoted\" one"];
    Row {
        id,
        colour: some(0).map(|number| ["white", "black", "grey"][number as usize % 3]),
        tags: tags
            .into_iter()
            .zip(0..)
            .filter(|(_, bit)| of(1) >> (2 * bit) & 3 == 0)
            .map(|(tag, _)| tag)
            .collect(),
        new: some(2).map(|number| number % 2 == 0),
        stock: some(3).map(|number| number as i64 % 100 - 50),
        price: some(4).map(|number| (number % 1000) as f64 / 8.0),
        made: some(5).map(|number| 1_700_000_000 + number as i64 % 1000),
    }
}

pub(super) fn rows() -> impl Iterator<Item = Row> {
    (0..VECTORS).map(row)
}

/// An index of these rows.
pub(super) fn made() -> &'static TestIndex {
    static MADE: OnceLock<TestIndex> = OnceLock::new();
    MADE.get_or_init(|| {
        let attribute = |name: &str, kind, cell: fn(Row) -> Cell| {
            let attribute = Attribute { name: name.to_owned(), kind };
            TestAttribute { attribute, cells: rows().map(cell).collect(), resident: name == "stock" }
        };
        let attributes = vec![
            attribute("colour", AttributeType::Keyword, |row| {
                row.colour.map_or(Cell::Null, |colour| Cell::Keyword(colour.to_owned()))
            }),
            attribute("tags", AttributeType::Tags, |row| match row.tags.is_empty() {
                true => Cell::Null,
                false => Cell::Tags(row.tags.into_iter().collect::<BTreeSet<_>>().into_iter().collect()),
            }),
            attribute("new", AttributeType::Bool, |row| row.new.map_or(Cell::Null, Cell::Bool)),
            attribute("stock", AttributeType::I64, |row| row.stock.map_or(Cell::Null, Cell::I64)),
            attribute("price", AttributeType::F64, |row| row.price.map_or(Cell::Null, Cell::F64)),
            attribute("made", AttributeType::Timestamp, |row| {
                row.made.map_or(Cell::Null, |seconds| Cell::Timestamp(seconds * 1_000_000))
            }),
        ];
        let ids = (0..VECTORS).collect();
        TestIndex { ids, attributes, ..TestIndex::random(Metric::L2, DType::U8, DIM, VECTORS as usize) }
    })
}

/// Where that index is.
pub(super) fn folder() -> &'static TempDir {
    static FOLDER: OnceLock<TempDir> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        made().write(folder.path());
        folder
    })
}

pub(super) fn server(flags: &[&str]) -> Server {
    let fixed = ["--queue-delay-ms", "60000"];
    Server::of(&format!("index={}", folder().path().display()), &[&fixed, flags].concat())
}

/// Ids and distances of all rows that match, nearest first.
pub(super) fn nearest(query: usize, holds: fn(&Row) -> bool) -> Vec<(u64, f32)> {
    let distance = |id: u64| -> u32 {
        let pairs = made().row(id as usize).iter().zip(made().row(query));
        pairs.map(|(&a, &b)| u32::from(a.abs_diff(b)).pow(2)).sum()
    };
    let mut all: Vec<_> = rows().filter(holds).map(|row| (row.id, distance(row.id) as f32)).collect();
    all.sort_by(|a, b| a.1.total_cmp(&b.1).then(a.0.cmp(&b.0)));
    all
}
