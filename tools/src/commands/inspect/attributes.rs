//! What is known of the vectors of an index.
use serde_json::{Value, json};
use spandrel_filter::Attribute;
use spandrel_index::Index;
use spandrel_index::attributes::StoredAttribute;

use crate::figures::units;

/// Values of an attribute that are told of.
const MOST_FREQUENT: usize = 5;

/// An attribute over all segments.
struct Told<'a> {
    attribute: &'a Attribute,
    is_resident: bool,
    /// Distinct values, of the segment with most.
    values: u32,
    pairs: u64,
    nulls: u64,
    index_bytes: u64,
    posting_bytes: u64,
    memory_bytes: usize,
    /// Values and the number of vectors that have them.
    most_frequent: Vec<(String, u64)>,
}

/// A remark for each attribute that no vector, or no document, has a value of.
pub(in crate::commands) fn empty(index: &Index) -> impl Iterator<Item = String> {
    let (all, thing) = match index.documents() {
        Some(of) => (of.offsets().documents() as u64, "document"), // CAST: widening
        None => (index.vectors(), "vector"),
    };
    let nulls = |number| -> u64 {
        let stored = index.segments().iter().filter_map(move |segment| segment.attribute(number));
        stored.map(StoredAttribute::null_count).sum()
    };
    let attributes = index.schema().attributes().iter().enumerate();
    attributes.filter(move |(number, _)| nulls(*number) >= all).map(move |(_, Attribute { name, kind })| {
        format!("attribute {name} ({kind}): no {thing} has a value of it")
    })
}

impl<'a> Told<'a> {
    fn of(index: &'a Index) -> impl Iterator<Item = Told<'a>> {
        let attributes = index.schema().attributes().iter().enumerate();
        attributes.map(|(number, attribute)| {
            let stored: Vec<&StoredAttribute> =
                index.segments().iter().filter_map(|segment| segment.attribute(number)).collect();
            let sum = |of: fn(&StoredAttribute) -> u64| stored.iter().map(|stored| of(stored)).sum();
            Told {
                attribute,
                is_resident: stored.iter().any(|stored| stored.is_resident()),
                values: stored.iter().map(|stored| stored.values()).max().unwrap_or(0),
                pairs: sum(StoredAttribute::pairs),
                nulls: sum(StoredAttribute::null_count),
                index_bytes: sum(StoredAttribute::file_bytes),
                posting_bytes: sum(StoredAttribute::posting_bytes),
                memory_bytes: stored.iter().map(|stored| stored.memory_bytes()).sum(),
                most_frequent: most_frequent(&stored),
            }
        })
    }
}

/// The values that most vectors have, those that are among the most frequent of a segment.
fn most_frequent(stored: &[&StoredAttribute]) -> Vec<(String, u64)> {
    let mut values: Vec<String> = stored
        .iter()
        .flat_map(|stored| stored.most_frequent(MOST_FREQUENT))
        .map(|found| found.value)
        .collect();
    values.sort_unstable();
    values.dedup();
    let count = |value: &str| stored.iter().map(|stored| u64::from(stored.cardinality(value))).sum();
    let mut counted: Vec<(String, u64)> = values
        .into_iter()
        .map(|value| {
            let vectors = count(&value);
            (value, vectors)
        })
        .collect();
    counted.sort_by_key(|(_, vectors)| std::cmp::Reverse(*vectors));
    counted.truncate(MOST_FREQUENT);
    counted
}

/// For programs.
pub(super) fn json(index: &Index) -> Value {
    let json = |told: Told<'_>| {
        let value = |(value, vectors): &(String, u64)| json!({"value": value, "vectors": vectors});
        json!({
            "name": told.attribute.name,
            "type": told.attribute.kind.to_string(),
            "resident": told.is_resident,
            "values": told.values,
            "pairs": told.pairs,
            "nulls": told.nulls,
            "index_bytes": told.index_bytes,
            "posting_bytes": told.posting_bytes,
            "memory_bytes": told.memory_bytes,
            "most_frequent": told.most_frequent.iter().map(value).collect::<Vec<_>>(),
        })
    };
    Told::of(index).map(json).collect()
}

/// A line for each.
pub(super) fn texts(index: &Index) -> impl Iterator<Item = String> {
    Told::of(index).map(|told| {
        let Attribute { name, kind } = told.attribute;
        // CAST: shown to three digits, here and below
        let size = |bytes: u64| units::bytes(bytes as f64);
        let mut text = format!("{name}: {kind}, ");
        if !kind.is_number() {
            text += &format!("{} values, ", units::count(told.values.into()));
        }
        text += &format!("{} nulls, {} on disk", units::count(told.nulls), size(told.index_bytes));
        if told.is_resident {
            text += ", resident";
        }
        let most: Vec<String> = told
            .most_frequent
            .iter()
            .map(|(value, vectors)| format!("{value:?} {}", units::count(*vectors)))
            .collect();
        if most.is_empty() { text } else { format!("{text}; most have {}", most.join(", ")) }
    })
}
